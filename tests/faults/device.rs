//! A graphics device that is lost while a text is written.

use adem_model::{ModelError, Sampling};
use adem_package::Folder;
use adem_pipeline::testing::write_tiny_package;
use adem_pipeline::{Captioner, PipelineError, Request};
use burn::tensor::{Device, DeviceType};

use super::fragile::Fragile;
use super::pictures;

#[test]
fn a_lost_device_ends_the_text_with_an_error() {
    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        assert!(std::env::var_os("CI").is_none(), "no GPU adapter");
        eprintln!("skipped: no GPU adapter");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 6).unwrap();
    let drawn = Sampling::TopP {
        temperature: 1.0,
        top_p: 0.9,
        seed: 1,
    };
    for sampling in [Sampling::Greedy, drawn] {
        pollster::block_on(async {
            let fragile = Fragile::new().await;
            let captioner = Captioner::load(Folder::new(folder.path()), |_| {}, &fragile.device);
            let captioner = captioner.await.unwrap();
            let mut session = captioner
                .start(Request {
                    sampling,
                    ..Request::caption(pictures::ordinary())
                })
                .unwrap();
            session.next().await.unwrap();
            fragile.lose();
            let error = loop {
                match session.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the text went on to its end"),
                    Err(error) => break error,
                }
            };
            let read = matches!(error, PipelineError::Model(ModelError::Read(_)));
            assert!(read, "{error:?}");
        });
    }
}
