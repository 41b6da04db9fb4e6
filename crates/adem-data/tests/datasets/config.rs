//! Data sets from config files.

use adem_data::datasets::{Captions, DataError, DatasetConfig, SourceConfig};
use adem_data::image::Augment;

use crate::support::{Folder, jpeg, strict, write_shards};

fn parse(toml: &str) -> Result<DatasetConfig, String> {
    toml::from_str(toml).map_err(|e| e.to_string())
}

#[test]
fn every_kind_of_data_set_can_be_named() {
    for (toml, kind) in [
        (
            "kind = 'coco-karpathy'\nannotations = 'a.json'\nimages = 'i'\nsplit = 'val'",
            "CocoKarpathy",
        ),
        (
            "kind = 'coco-blip'\nannotations = 'a.json'\nimages = 'i'",
            "CocoBlip",
        ),
        (
            "kind = 'science-qa'\nroot = 'r'\nsplit = 'train'\nformat = 'CQM-A'\nswapped = true",
            "ScienceQa",
        ),
        (
            "kind = 'instruction'\nfiles = ['a.json']\nimages = { coco = 'c' }",
            "Instruction",
        ),
        (
            "kind = 'captions'\nfile = 'a.csv'\nimages = 'i'",
            "Captions",
        ),
        (
            "kind = 'webdataset'\nshards = ['t-{0..2}.tar']\nsamples = 12",
            "Webdataset",
        ),
    ] {
        let config = parse(&format!(
            "captions = 'one'\naugment = {{}}\n[source]\n{toml}"
        ))
        .unwrap();
        assert!(
            format!("{:?}", config.source).starts_with(kind),
            "{config:?}"
        );
        assert_eq!(
            (config.captions, config.augment),
            (Captions::One, Some(Augment::default()))
        );
        let again = toml::to_string(&config).unwrap();
        assert_eq!(parse(&again).unwrap(), config, "{again}");
    }
}

#[test]
fn unknown_and_impossible_settings_are_refused_by_name() {
    for (toml, word) in [
        (
            "[source]\nkind = 'captions'\nfile = 'a'\nimages = 'i'\nimage = 'j'",
            "image",
        ),
        (
            "shuffle = true\n[source]\nkind = 'captions'\nfile = 'a'\nimages = 'i'",
            "shuffle",
        ),
        (
            "[source]\nkind = 'science-qa'\nroot = 'r'\nsplit = 'train'\nformt = 'QCM-A'",
            "formt",
        ),
        (
            "[source]\nkind = 'science-qa'\nroot = 'r'\nsplit = 'train'\nformat = 'QXM-A'",
            "QXM-A",
        ),
        ("[source]\nkind = 'lmdb'", "lmdb"),
        ("[source]\nkind = 'webdataset'", "shards"),
        (
            "[augment]\nscales = [0.1, 1.0]\n[source]\nkind = 'webdataset'\nshards = []",
            "scales",
        ),
    ] {
        let error = parse(toml).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    let folder = Folder::new();
    let open = |toml: &str| {
        let config = parse(&format!(
            "{toml}\n[source]\nkind = 'webdataset'\nshards = ['s-000.tar']\nshuffle_buffer = 0"
        ));
        config
            .unwrap()
            .open(folder.path(), &strict())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(open("").contains("shuffle_buffer"));
    assert!(open("augment = { scale = [0.9, 0.5] }").contains("augment.scale"));
    assert!(open("augment = { flip = 1.5 }").contains("augment.flip"));
    assert!(open("augment = { ratio = [0.0, 1.0] }").contains("augment.ratio"));
    assert!(open("augment = { magnitude = 11.0 }").contains("augment.magnitude"));
    assert!(open("caption_style = { max_words = 0 }").contains("max_words"));
}

#[test]
fn paths_start_at_the_config_s_folder() {
    let folder = Folder::new();
    write_shards(&folder, &[2, 3], 2, &jpeg(8));
    folder.write("a.jpg", jpeg(8));
    folder.write("c.csv", "image,caption\na.jpg,one\na.jpg,two\n");
    let open = |source: SourceConfig| {
        let config = DatasetConfig {
            source,
            captions: Captions::Each,
            caption_style: Default::default(),
            augment: None,
            max_bad_rows: 0,
        };
        config.open(folder.path(), &strict())
    };
    let shards = |samples| SourceConfig::Webdataset {
        shards: vec!["s-{000..001}.tar".into()],
        shuffle_buffer: 10,
        samples,
    };
    assert_eq!(open(shards(None)).unwrap().samples().unwrap(), Some(10));
    assert_eq!(open(shards(Some(7))).unwrap().samples().unwrap(), Some(7));
    let csv = SourceConfig::Captions {
        file: "c.csv".into(),
        images: ".".into(),
    };
    assert_eq!(open(csv).unwrap().samples().unwrap(), Some(2));
    let missing = SourceConfig::Webdataset {
        shards: vec!["s-{000..002}.tar".into()],
        shuffle_buffer: 10,
        samples: None,
    };
    assert!(matches!(open(missing), Err(DataError::File { .. })));
}
