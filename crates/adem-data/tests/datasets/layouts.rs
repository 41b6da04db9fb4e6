//! The public layouts are read as they are, and what is wrong in them is named with its line.

use adem_data::datasets::{
    Captions, CocoSplit, DataError, InstructionPictures, Picture, Prompt, Sample, ScienceQaFiles,
    Table, captions_file, coco_blip, coco_karpathy, instructions, science_qa,
};
use adem_data::image::Limits;

use crate::support::{Folder, bad_rows, in_order, jpeg, name, strict};

fn samples(table: &Table) -> Vec<Sample> {
    in_order(table, &strict())
}

fn texts(table: &Table) -> Vec<Vec<String>> {
    samples(table).into_iter().map(|s| s.targets).collect()
}

const KARPATHY: &str = r#"{"images": [
 {"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg", "split": "test", "cocoid": 391895,
  "sentences": [{"tokens": ["a"], "raw": "A man.", "sentid": 1}, {"raw": "One rider."}]},
 {"filepath": "train2014", "filename": "COCO_train2014_000000000009.jpg", "split": "train", "cocoid": 9,
  "sentences": [{"raw": "Food."}]},
 {"filepath": "val2014", "filename": "COCO_val2014_000000000042.jpg", "split": "restval", "cocoid": 42,
  "sentences": [{"raw": "Sandals."}]}
], "dataset": "coco"}"#;

#[test]
fn karpathy_s_file_gives_its_splits() {
    let folder = Folder::new();
    let file = folder.write("dataset_coco.json", KARPATHY);
    let picture = folder.write("images/val2014/COCO_val2014_000000391895.jpg", jpeg(8));
    folder.write("images/train2014/COCO_train2014_000000000009.jpg", jpeg(8));
    let images = folder.path().join("images");
    let read = |split, captions| coco_karpathy(&file, &images, split, captions, &strict());

    let test = samples(&read(CocoSplit::Test, Captions::Each).unwrap());
    assert_eq!(
        test.iter().map(name).collect::<Vec<_>>(),
        [("391895".into(), 0), ("391895".into(), 1)]
    );
    assert_eq!(test[1].targets, ["One rider."]);
    assert_eq!(test[0].picture, Some(Picture::File(picture)));
    assert_eq!(test[0].prompt, Prompt::Caption);
    assert_eq!(
        test[0].origin.to_string(),
        format!("{}, line 2", file.display())
    );
    assert!(
        test[0]
            .picture
            .as_ref()
            .unwrap()
            .decode(&Limits::default())
            .is_ok()
    );

    let all = read(CocoSplit::Test, Captions::All).unwrap();
    assert_eq!(texts(&all), [["A man.", "One rider."]]);
    // Everyone trains on `restval` as well.
    let train = samples(&read(CocoSplit::Train, Captions::Each).unwrap());
    assert_eq!(
        train.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
        ["9", "42"]
    );
    assert!(matches!(
        read(CocoSplit::Val, Captions::Each),
        Err(DataError::NoUsableRows { .. })
    ));
}

#[test]
fn blip_s_lists_give_a_row_for_each_caption_or_a_picture_with_all() {
    let folder = Folder::new();
    folder.write("val2014/COCO_val2014_000000522418.jpg", jpeg(8));
    let train = folder.write(
        "coco_karpathy_train.json",
        r#"[{"caption": "A woman.", "image": "val2014/COCO_val2014_000000522418.jpg", "image_id": "coco_522418"},
{"caption": "A knife.", "image": "val2014/COCO_val2014_000000522418.jpg", "image_id": "coco_522418"},
{"caption": "A cake.", "image": "val2014/COCO_val2014_000000000007.jpg", "image_id": "coco_7"}]"#,
    );
    let test = folder.write(
        "coco_karpathy_test.json",
        r#"[{"image": "val2014/COCO_val2014_000000522418.jpg", "caption": ["A woman.", "A knife."]}]"#,
    );
    let read = |file, captions| coco_blip(file, folder.path(), captions, &strict()).unwrap();
    let each = samples(&read(&train, Captions::Each));
    let names: Vec<_> = each.iter().map(name).collect();
    assert_eq!(
        names,
        [("522418".into(), 0), ("522418".into(), 1), ("7".into(), 0)]
    );
    assert_eq!(
        each[1].origin.to_string(),
        format!("{}, line 2", train.display())
    );
    assert_eq!(texts(&read(&train, Captions::All)).len(), 2);
    assert_eq!(
        texts(&read(&test, Captions::All)),
        [["A woman.", "A knife."]]
    );
}

#[test]
fn one_caption_is_another_one_in_other_epochs() {
    let folder = Folder::new();
    folder.write("a.jpg", jpeg(8));
    let file = folder.write(
        "c.jsonl",
        r#"{"image": "a.jpg", "captions": ["0", "1", "2", "3", "4"]}"#,
    );
    let table = captions_file(&file, folder.path(), Captions::One, &strict()).unwrap();
    let drawn: Vec<_> = (0..40)
        .map(|epoch| table.get(0, 1, epoch).unwrap())
        .collect();
    for sample in &drawn {
        assert_eq!(sample.targets, [sample.turn.to_string()]);
    }
    let turns: std::collections::BTreeSet<_> = drawn.iter().map(|s| s.turn).collect();
    assert_eq!(turns.len(), 5);
    assert_eq!(table.get(0, 1, 7), table.get(0, 1, 7));
}

#[test]
fn a_folder_with_csv_tsv_json_lines_or_json_reads_the_same() {
    let folder = Folder::new();
    for name in ["a.jpg", "b c.jpg"] {
        folder.write(&format!("images/{name}"), jpeg(8));
    }
    let images = folder.path().join("images");
    for (name, content) in [
        (
            "c.csv",
            "image,caption\na.jpg,one\na.jpg,\"two, with comma\"\nb c.jpg,three\n",
        ),
        (
            "c.tsv",
            "id\tFilename\tText\n1\ta.jpg\tone\n2\ta.jpg\ttwo, with comma\n3\tb c.jpg\tthree\n",
        ),
        (
            "c.jsonl",
            "{\"image\": \"a.jpg\", \"captions\": [\"one\", \"two, with comma\"]}\n\n{\"file_name\": \"b c.jpg\", \"text\": \"three\"}",
        ),
        (
            "c.json",
            "\u{feff}[{\"image\": \"a.jpg\", \"caption\": [\"one\", \"two, with comma\"]}, {\"path\": \"b c.jpg\", \"caption\": \"three\"}]",
        ),
    ] {
        let file = folder.write(name, content);
        let table = captions_file(&file, &images, Captions::All, &strict()).unwrap();
        let expected: [&[&str]; 2] = [&["one", "two, with comma"], &["three"]];
        assert_eq!(texts(&table), expected, "{name}");
        let each = captions_file(&file, &images, Captions::Each, &strict()).unwrap();
        assert_eq!(each.len(), 3, "{name}");
    }
}

#[test]
fn questions_with_answers_need_no_picture() {
    let folder = Folder::new();
    let file = folder.write(
        "q.jsonl",
        r#"{"question": "One and one?", "answer": "Two"}"#,
    );
    let table = captions_file(&file, folder.path(), Captions::Each, &strict()).unwrap();
    let sample = &samples(&table)[0];
    assert_eq!(sample.prompt, Prompt::Question("One and one?".into()));
    assert_eq!(
        (&sample.picture, sample.targets.as_slice()),
        (&None, &["Two".to_owned()][..])
    );
}

fn write_science_qa(folder: &Folder) {
    folder.write(
        "problems.json",
        r#"{
"1": {"question": "Which?", "choices": ["hard", "soft"], "answer": 0, "hint": "Look.", "image": "image.png", "task": "closed choice",
      "grade": "grade2", "subject": "natural science", "topic": "physics", "lecture": "L", "solution": "S", "split": "train"},
"2": {"question": "Where?", "choices": ["here", "there"], "answer": 1, "hint": "", "image": null, "lecture": "", "solution": ""},
"3": {"question": "Bad?", "choices": ["a"], "answer": 4, "hint": "", "image": null, "lecture": "", "solution": ""}
}"#,
    );
    folder.write(
        "pid_splits.json",
        r#"{"train": ["2", "1"], "broken": ["3", "4", "1"]}"#,
    );
    folder.write("images/train/1/image.png", jpeg(8));
    folder.write(
        "captions.json",
        r#"{"images": 1, "captions": {"1": "a cup"}}"#,
    );
}

fn science_qa_files(folder: &Folder, split: &str) -> ScienceQaFiles {
    ScienceQaFiles {
        root: folder.path().to_owned(),
        split: split.into(),
        format: "CQM-A".parse().unwrap(),
        captions: None,
        swapped: false,
    }
}

#[test]
fn science_qa_has_rows_with_and_without_picture() {
    let folder = Folder::new();
    write_science_qa(&folder);
    let mut files = science_qa_files(&folder, "train");
    let read = science_qa(&files, &strict()).unwrap();
    let rows = samples(&read.table);
    assert_eq!(
        rows.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
        ["2", "1"]
    );
    assert_eq!(rows[0].picture, None);
    let picture = folder.path().join("images/train/1/image.png");
    assert_eq!(rows[1].picture, Some(Picture::File(picture)));
    assert_eq!(
        rows[1].prompt,
        Prompt::Exact(
            "Context: Look.\nQuestion: Which?\nOptions: (A) hard (B) soft\nResponse:".into()
        )
    );
    assert_eq!(rows[1].targets, ["The answer is A."]);
    assert_eq!(read.problems["1"].grade, "grade2");

    files.captions = Some(folder.path().join("captions.json"));
    let rows = samples(&science_qa(&files, &strict()).unwrap().table);
    assert!(matches!(&rows[1].prompt, Prompt::Exact(p) if p.starts_with("Context: Look. a cup\n")));
}

#[test]
fn bad_problems_and_unknown_splits_are_named() {
    let folder = Folder::new();
    write_science_qa(&folder);
    let (bad, messages) = bad_rows(5);
    let read = science_qa(&science_qa_files(&folder, "broken"), &bad);
    // Problem 1 has no picture in this split's folder.
    assert!(
        matches!(read, Err(DataError::NoUsableRows { .. })),
        "{read:?}"
    );
    let messages = messages.get();
    assert!(
        messages[0].ends_with("problems.json, line 5: `answer` is 4, but there are 1 choices"),
        "{messages:?}"
    );
    assert!(
        messages[1].ends_with("problems.json, key 4: has no such problem"),
        "{messages:?}"
    );
    let error = science_qa(&science_qa_files(&folder, "dev"), &strict()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no split `dev`; it has broken, train"),
        "{error}"
    );
}

#[test]
fn instructions_of_three_kinds_become_one_set() {
    let folder = Folder::new();
    folder.write("coco/COCO_train2014_000000000001.jpg", jpeg(8));
    let all = folder.write(
        "all_data.json",
        r#"{"all": [{"instruction": "Instruction: Name it. \nResponse:", "answer": "Bob", "image": null, "image_source": null, "options": null, "qid": "alpaca_0"},
{"instruction": "Instruction: What?\nResponse:", "answer": "A cat", "image": "000000000001.jpg", "image_source": "mscoco", "qid": "gpt4_0"},
{"instruction": "Instruction: Which?\nResponse:", "answer": "A", "image": "image.png", "image_source": "sqa", "qid": "17"}]}"#,
    );
    let llava = folder.write(
        "conversation_58k.json",
        r#"[{"id": "000000000001", "image": "000000000001.jpg", "conversations": [
 {"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": "A cat."},
 {"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "Yes."}]}]"#,
    );
    let alpaca = folder.write(
        "alpaca_data.json",
        r#"[{"instruction": "Add.", "input": "1, 2", "output": "3"}]"#,
    );
    let pictures = InstructionPictures {
        coco: folder.path().join("coco"),
        prefix: "COCO_train2014_".into(),
        science_qa: Some(folder.path().join("sqa/images/train")),
    };
    let table = instructions(&[all, llava, alpaca], &pictures, &strict()).unwrap();
    let rows = samples(&table);
    let asked: Vec<_> = rows
        .iter()
        .map(|s| match &s.prompt {
            Prompt::Exact(prompt) => (prompt.as_str(), s.targets[0].as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        asked,
        [
            ("Instruction: Name it. \nResponse:", "Bob"),
            ("Instruction: What?\nResponse:", "A cat"),
            ("Instruction: Which?\nResponse:", "A"),
            ("Instruction: What is it?\nResponse:", "A cat."),
            ("Instruction: Sure?\nResponse:", "Yes."),
            ("Instruction: Add. 1, 2\nResponse:", "3"),
        ]
    );
    let cat = folder.path().join("coco/COCO_train2014_000000000001.jpg");
    assert_eq!(rows[1].picture, Some(Picture::File(cat.clone())));
    assert_eq!(
        rows[2].picture,
        Some(Picture::File(
            folder.path().join("sqa/images/train/17/image.png")
        ))
    );
    assert_eq!(rows[4].picture, Some(Picture::File(cat)));
    assert_eq!((&rows[0].picture, &rows[5].picture), (&None, &None));
    let mut ids: Vec<_> = rows.iter().map(|s| s.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), rows.len());
}

#[test]
fn every_kind_of_bad_row_is_named_with_its_line_and_skipped() {
    let folder = Folder::new();
    folder.write("a.jpg", jpeg(8));
    let lines = [
        r#"{"image": "a.jpg", "caption": "good"}"#,
        r#"{"image": "a.jpg", "caption": "cut"#,
        r#"{"image": "a.jpg", "caption": 7}"#,
        r#"{"image": "a.jpg", "caption": ["fine", null]}"#,
        r#"{"image": "a.jpg"}"#,
        r#"{"image": "a.jpg", "caption": " "}"#,
        r#"{"caption": "no picture"}"#,
        r#"{"image": "../../etc/passwd", "caption": "outside"}"#,
        r#"{"image": "/etc/passwd", "caption": "outside"}"#,
        r#"[1, 2]"#,
        r#"{"question": "and the answer?"}"#,
    ];
    let file = folder.write("c.jsonl", lines.join("\n"));
    let (bad, messages) = bad_rows(10);
    let table = captions_file(&file, folder.path(), Captions::Each, &bad).unwrap();
    assert_eq!(texts(&table), [["good"]]);
    let messages = messages.get();
    assert_eq!(messages.len(), 10, "{messages:#?}");
    for ((line, message), reason) in (2..).zip(&messages).zip([
        "EOF while parsing a string",
        "`caption` is a number, must be a text",
        "`caption` is null, must be a text",
        "has no caption",
        "the caption is empty",
        "has no image",
        "not a path inside",
        "not a path inside",
        "invalid type: sequence",
        "has no answer",
    ]) {
        assert!(
            message.starts_with(&format!("{}, line {line}: ", file.display())),
            "{message}"
        );
        assert!(message.contains(reason), "{message} / {reason}");
    }
    // One fewer allowed: the tenth ends it, by name.
    let (bad, _) = bad_rows(9);
    let error = captions_file(&file, folder.path(), Captions::Each, &bad).unwrap_err();
    assert!(matches!(error, DataError::TooManyBadRows { limit: 9, .. }));
    assert!(
        error.to_string().contains("line 11") && error.to_string().contains("max_bad_rows"),
        "{error}"
    );
}

#[test]
fn a_csv_row_with_other_cells_than_the_header_is_bad() {
    let folder = Folder::new();
    folder.write("a.jpg", jpeg(8));
    let file = folder.write(
        "c.csv",
        "image,caption\na.jpg,one,two\na.jpg\n,three\na.jpg,\na.jpg,four\n",
    );
    let (bad, messages) = bad_rows(9);
    let table = captions_file(&file, folder.path(), Captions::Each, &bad).unwrap();
    assert_eq!(texts(&table), [["four"]]);
    let messages = messages.get().join("\n");
    for part in [
        "line 2: has 3 cells where the header has 2",
        "line 3: has 1 cells",
        "line 4: ",
        "line 5: the caption is empty",
    ] {
        assert!(messages.contains(part), "{messages}");
    }
}

#[test]
fn a_quote_that_is_not_closed_takes_no_row_in_silence() {
    let read = |name: &str, content: &str| {
        let folder = Folder::new();
        folder.write("a.jpg", jpeg(8));
        let file = folder.write(name, content);
        let (bad, messages) = bad_rows(9);
        let table = captions_file(&file, folder.path(), Captions::Each, &bad).unwrap();
        (texts(&table), messages.get().join("\n"))
    };
    let (found, messages) = read(
        "c.csv",
        "image,caption\na.jpg,one\na.jpg,\"two\na.jpg,three\na.jpg,four\n",
    );
    assert_eq!(found, [["one"]]);
    assert!(
        messages.contains("line 3: opens a quote") && messages.contains("took 2 lines"),
        "{messages}"
    );
    // Closed by the quote that opens another cell.
    let (found, messages) = read(
        "c.tsv",
        "image\tcaption\na.jpg\t\"one\na.jpg\t\"two\"\na.jpg\tthree\n",
    );
    assert_eq!(found, [["three"]]);
    assert!(messages.contains("line 2: opens a quote"), "{messages}");
    // Quotes that are right: a cell of two lines, one inside written twice, one that opens nothing.
    let (found, messages) = read(
        "c.csv",
        "image,caption\r\na.jpg,\"one, \"\"1\"\",\r\nand more\"\r\na.jpg,a 5\" disk\r\na.jpg,\"\"\r\n\"a.jpg\",three\n",
    );
    assert_eq!(found[0], ["one, \"1\",\r\nand more"]);
    assert_eq!(found[1..], [["a 5\" disk"], ["three"]]);
    assert!(messages.contains("the caption is empty") && !messages.contains("quote"));
}

#[test]
fn a_file_cut_short_gives_the_rows_before_the_cut() {
    let folder = Folder::new();
    folder.write("images/train2014/COCO_train2014_000000000009.jpg", jpeg(8));
    let end = KARPATHY.find("\"split\": \"restval\"").unwrap();
    let file = folder.write("cut.json", &KARPATHY[..end]);
    let (bad, messages) = bad_rows(9);
    let images = folder.path().join("images");
    let table = coco_karpathy(&file, &images, CocoSplit::Train, Captions::Each, &bad).unwrap();
    assert_eq!(texts(&table), [["Food."]]);
    assert_eq!(messages.get().len(), 1, "{:?}", messages.get());
    assert!(
        messages.get()[0].contains("cut.json, line 6: EOF while parsing"),
        "{:?}",
        messages.get()
    );
}

#[test]
fn what_gives_no_row_is_an_error_by_name() {
    let folder = Folder::new();
    let none = |result: Result<Table, DataError>, words: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, DataError::NoUsableRows { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let read = |name: &str, content: &str| {
        captions_file(
            &folder.write(name, content),
            folder.path(),
            Captions::Each,
            &bad_rows(99).0,
        )
    };
    none(read("empty.jsonl", ""), "holds no row");
    none(read("empty.json", "[]"), "holds no row");
    none(read("bad.jsonl", "x\ny"), "2 of its rows are bad");
    let missing = r#"{"image": "missing.jpg", "caption": "a"}"#;
    none(read("pictures.jsonl", missing), "missing.jpg");
}

#[test]
fn another_layout_is_told_apart() {
    let folder = Folder::new();
    let list = folder.write("list.json", r#"[{"image": "a.jpg", "caption": "b"}]"#);
    let object = folder.write("object.json", KARPATHY);
    let other = folder.write("other.json", r#"{"annotations": []}"#);
    let layout = |result: Result<Table, DataError>, words: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, DataError::Layout { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let karpathy = |file| {
        coco_karpathy(
            file,
            folder.path(),
            CocoSplit::Train,
            Captions::Each,
            &strict(),
        )
    };
    layout(karpathy(&list), "coco-blip");
    layout(karpathy(&other), "dataset_coco.json");
    layout(
        coco_blip(&object, folder.path(), Captions::Each, &strict()),
        "coco-karpathy",
    );
    let csv = folder.write("c.csv", "a,b\n1,2\n");
    layout(
        captions_file(&csv, folder.path(), Captions::Each, &strict()),
        "file_name",
    );
    let text = folder.write("c.txt", "a");
    layout(
        captions_file(&text, folder.path(), Captions::Each, &strict()),
        ".jsonl",
    );
    let latin = folder.write("latin.csv", b"image,caption\na.jpg,caf\xe9\n");
    let error = captions_file(&latin, folder.path(), Captions::Each, &strict()).unwrap_err();
    assert!(error.to_string().contains("line 2 is not UTF-8"), "{error}");
    let missing = captions_file(
        &folder.path().join("no.csv"),
        folder.path(),
        Captions::Each,
        &strict(),
    );
    assert!(matches!(missing, Err(DataError::File { .. })));
}
