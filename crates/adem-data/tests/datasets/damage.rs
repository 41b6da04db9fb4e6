//! Shards that are damaged, cut, oversized or hostile cost what is damaged, and no more.

use adem_data::datasets::{Captions, DataError, DataSource, MAX_TEXT_BYTES, Mark, Part, Prompt};
use proptest::prelude::*;

use crate::support::{
    Folder, bad_rows, in_order, name, order, record, shards, strict, tar, write_shards,
};

/// Reads one shard of these bytes; the names drawn and what was said.
fn read(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let folder = Folder::new();
    folder.write("s.tar", bytes);
    let source = shards(&folder, &["s.tar".into()], Captions::All, 8).unwrap();
    let (bad, messages) = bad_rows(1000);
    let names = in_order(&source, &bad).iter().map(|s| name(s).0).collect();
    (names, messages.get())
}

fn records(keys: &[&str]) -> Vec<(String, Vec<u8>)> {
    keys.iter()
        .flat_map(|key| record(key, 1, &[7; 700]))
        .collect()
}

#[test]
fn records_of_all_forms_are_read() {
    let mut entries = vec![
        ("dir/one.jpeg".to_owned(), vec![1]),
        ("dir/one.txt".to_owned(), b"  a text \n".to_vec()),
        ("two.PNG".to_owned(), vec![2]),
        (
            "two.json".to_owned(),
            br#"{"caption": "c", "width": 3}"#.to_vec(),
        ),
        // img2dataset's json may hold no caption; the txt does.
        ("three.webp".to_owned(), vec![3]),
        (
            "three.json".to_owned(),
            br#"{"caption": null, "url": "x"}"#.to_vec(),
        ),
        ("three.txt".to_owned(), b"from txt".to_vec()),
        ("three.cls".to_owned(), b"4".to_vec()),
        ("four.jpg".to_owned(), vec![4]),
        (
            "four.json".to_owned(),
            br#"{"question": "Why?", "answers": ["So", "No"]}"#.to_vec(),
        ),
    ];
    let long = "x".repeat(300);
    entries.push((format!("{long}.jpg"), vec![5]));
    entries.push((format!("{long}.txt"), b"long".to_vec()));
    let folder = Folder::new();
    folder.write("s.tar", tar(&entries));
    let source = shards(&folder, &["s.tar".into()], Captions::All, 8).unwrap();
    let samples = in_order(&source, &strict());
    let read: Vec<_> = samples
        .iter()
        .map(|s| (s.id.as_str(), s.targets.join("|")))
        .collect();
    let expected = [
        ("dir/one", "a text"),
        ("two", "c"),
        ("three", "from txt"),
        ("four", "So|No"),
        (&long, "long"),
    ];
    assert_eq!(read, expected.map(|(id, text)| (id, text.to_owned())));
    assert_eq!(samples[3].prompt, Prompt::Question("Why?".into()));
}

#[test]
fn a_record_without_picture_or_text_is_bad_by_shard_and_key() {
    let mut entries = records(&["a"]);
    entries.push(("b.json".into(), br#"{"caption": "no picture"}"#.to_vec()));
    entries.push(("c.jpg".into(), vec![1]));
    entries.extend([
        ("d.jpg".into(), vec![1]),
        ("d.json".into(), b"{\"caption\": ".to_vec()),
    ]);
    entries.extend([
        ("e.jpg".into(), vec![1]),
        ("e.txt".into(), b"\xff".to_vec()),
    ]);
    entries.extend([
        ("f.jpg".into(), vec![1]),
        ("f.json".into(), br#"{"captions": [" "]}"#.to_vec()),
    ]);
    entries.extend(records(&["g"]));
    let (names, messages) = read(&tar(&entries));
    assert_eq!(names, ["a", "g"]);
    let expected = [
        "key b: has no picture",
        "key c: has no caption",
        "key d: EOF",
        "key e: `txt` is not UTF-8",
        "key f: the caption is empty",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.contains(&format!("s.tar, {expected}")), "{message}");
    }
}

#[test]
fn a_shard_cut_anywhere_gives_the_whole_records_before_the_cut() {
    let bytes = tar(&records(&["a", "b", "c"]));
    // Per record: header, 700 bytes in two blocks, header, json in one.
    let record_bytes = 512 * 5;
    for cut in (0..3 * record_bytes).step_by(100) {
        let (names, messages) = read(&bytes[..cut]);
        assert!(
            names.len() == cut / record_bytes || cut % record_bytes == 0,
            "{cut}: {names:?}"
        );
        assert_eq!(names, &["a", "b", "c"][..names.len()], "{cut}");
        // A cut between entries looks like an end; every other is told, and so is half a record.
        if cut % record_bytes != 0 {
            assert_eq!(messages.len(), 1, "{cut}: {messages:?}");
        }
    }
}

#[test]
fn an_entry_above_its_limit_costs_its_record() {
    let mut entries = records(&["a"]);
    entries.extend([
        ("b.jpg".into(), vec![1]),
        ("b.txt".into(), vec![b'x'; MAX_TEXT_BYTES as usize + 1]),
    ]);
    entries.extend(records(&["c"]));
    let (names, messages) = read(&tar(&entries));
    assert_eq!(names, ["a", "c"]);
    assert!(
        messages[0].contains("key b: its .txt is larger than the limit of 1048576 bytes"),
        "{messages:?}"
    );
}

#[test]
fn endless_names_and_impossible_sizes_end_the_shard_without_being_read() {
    let mut start = tar(&records(&["a"]));
    start.truncate(512 * 5);
    let header = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path("x.jpg").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for (kind, size) in [
        (tar::EntryType::GNULongName, 1 << 40),
        (tar::EntryType::XHeader, 1 << 40),
        (tar::EntryType::Regular, u64::MAX - 5),
        (tar::EntryType::Regular, 1 << 50),
        (tar::EntryType::GNUSparse, 10),
    ] {
        let bytes = [start.clone(), header(kind, size), vec![b'n'; 4 << 20]].concat();
        let (names, messages) = read(&bytes);
        assert_eq!(names, ["a"], "{kind:?}");
        assert_eq!(messages.len(), 1, "{kind:?}: {messages:?}");
        assert!(
            messages[0].contains("the shard is damaged from here on"),
            "{messages:?}"
        );
    }
}

#[test]
fn names_that_lead_elsewhere_are_names() {
    let mut entries = tar(&records(&["aa/up/x"]));
    // The library refuses to write such names.
    for at in 0..entries.len() - 10 {
        if entries[at..].starts_with(b"aa/up/x.j") {
            entries[at..at + 5].copy_from_slice(b"../..");
        }
    }
    for block in [0, 3] {
        let at = block * 512;
        entries[at + 148..at + 156].fill(b' ');
        let sum: u32 = entries[at..at + 512].iter().map(|&b| u32::from(b)).sum();
        entries[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let (names, _) = read(&entries);
    assert_eq!(names, ["../../x"]);
}

#[test]
fn a_damaged_shard_costs_itself_alone() {
    let folder = Folder::new();
    let mut written = write_shards(&folder, &[3, 3, 3], 1, b"x");
    folder.write("s-001.tar", b"this is no tar file at all".repeat(100));
    let source = shards(&folder, &written, Captions::Each, 4).unwrap();
    let (bad, messages) = bad_rows(1);
    assert_eq!(in_order(&source, &bad).len(), 6);
    assert!(
        messages.get()[0].contains("s-001.tar, byte 0: the shard is damaged"),
        "{:?}",
        messages.get()
    );
    // Read again, it is not counted again.
    assert_eq!(in_order(&source, &bad).len(), 6);
    assert_eq!(bad.count(), 1);

    let records = source.records(&order(0, 0, true, Part::WHOLE), &Mark::default(), &strict());
    let mut records = records.unwrap();
    let error = loop {
        match records.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, DataError::TooManyBadRows { limit: 0, .. }),
        "{error}"
    );

    written.push("missing.tar".into());
    let error = shards(&folder, &written, Captions::Each, 4).unwrap_err();
    assert!(error.to_string().contains("missing.tar"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_stops_the_reader(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = tar(&records(&["a", "b", "c"]));
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (names, messages) = read(&bytes);
        prop_assert!(names.len() + messages.len() <= 8);
    }
}
