//! What a captioner promises, on a tiny package with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Cursor;
use std::path::Path;

use adem_data::image::RgbImage;
use adem_data::scenes::Scene;
use adem_package::Folder;
use adem_pipeline::testing::write_tiny_package;
use adem_pipeline::{
    Ask, Beams, Captioner, Event, FusionChange, Outcome, PipelineError, Request, Sampling, Task,
};
use burn::tensor::Device;

fn load(folder: &Path) -> Captioner {
    let device = Device::flex();
    pollster::block_on(Captioner::load(Folder::new(folder), |_| {}, &device)).unwrap()
}

fn tiny() -> (tempfile::TempDir, Captioner) {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 3).unwrap();
    let captioner = load(folder.path());
    (folder, captioner)
}

fn scene(seed: u64) -> RgbImage {
    Scene::sample(seed).render(48)
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn finish(captioner: &Captioner, request: Request) -> Outcome {
    pollster::block_on(captioner.start(request).unwrap().finish()).unwrap()
}

#[test]
fn a_session_sees_then_writes_then_is_done() {
    let (_folder, captioner) = tiny();
    let mut session = captioner.start(Request::caption(png(&scene(1)))).unwrap();
    let mut next = || pollster::block_on(session.next()).unwrap();
    assert!(matches!(next(), Some(Event::Seen { .. })));
    let mut streamed = String::new();
    let mut tokens = 0;
    let outcome = loop {
        match next().unwrap() {
            Event::Token { text, .. } => {
                streamed.push_str(&text);
                tokens += 1;
            }
            Event::Done(outcome) => break outcome,
            Event::Seen { .. } => panic!("the picture was seen twice"),
        }
    };
    assert_eq!(next(), None);
    assert_eq!(outcome.text, streamed.trim_end());
    assert_eq!(outcome.tokens, tokens);
    assert!(outcome.timings.vision_ms > 0.0 && outcome.timings.prefill_ms > 0.0);
}

#[test]
fn the_same_request_gives_the_same_text() {
    let (folder, captioner) = tiny();
    let request = Request::caption(png(&scene(2)));
    let first = finish(&captioner, request.clone());
    assert_eq!(first.text, finish(&captioner, request.clone()).text);
    assert_eq!(first.text, finish(&load(folder.path()), request).text);
}

#[test]
fn a_picture_asked_about_again_is_not_encoded_again() {
    let (_folder, captioner) = tiny();
    let (one, other) = (png(&scene(1)), png(&scene(2)));
    let seen = |picture: &[u8], question: &str| {
        finish(&captioner, Request::question(picture.to_vec(), question))
            .timings
            .vision_ms
            > 0.0
    };
    assert!(seen(&one, "how many shapes are there?"));
    assert!(!seen(&one, "what colour is the circle?"));
    assert!(seen(&other, "how many shapes are there?"));
    assert!(!seen(&one, "how many shapes are there?"));
    for more in 3..6 {
        assert!(seen(&png(&scene(more)), "how many shapes are there?"));
    }
    assert!(seen(&other, "how many shapes are there?"));
}

#[test]
fn a_batch_answers_as_single_requests_do() {
    let (_folder, captioner) = tiny();
    let pictures: Vec<RgbImage> = (0..3).map(scene).collect();
    let features = captioner.encode(&pictures).unwrap();
    let asks: Vec<Ask> = [
        (2, Task::Caption),
        (0, Task::Question("how many circles are there?".into())),
        (1, Task::Question("why?".into())),
        (0, Task::Caption),
    ]
    .map(|(picture, task)| Ask { picture, task })
    .into();
    let together = pollster::block_on(captioner.answer(&features, &asks)).unwrap();
    for (ask, text) in asks.into_iter().zip(together) {
        let picture = Some(png(&pictures[ask.picture]));
        let request = Request {
            picture,
            task: ask.task,
            ..Request::default()
        };
        assert_eq!(finish(&captioner, request).text, text);
    }
}

#[test]
fn seeds_decide_what_is_sampled() {
    let (_folder, captioner) = tiny();
    let text = |seed| {
        let sampling = Sampling::TopP {
            temperature: 5.0,
            top_p: 1.0,
            seed,
        };
        finish(
            &captioner,
            Request {
                sampling,
                ..Request::caption(png(&scene(4)))
            },
        )
        .text
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn tokens_are_at_most_those_asked_for() {
    let (_folder, captioner) = tiny();
    let tokens = |max| {
        let request = Request {
            max_new_tokens: Some(max),
            ..Request::caption(png(&scene(5)))
        };
        captioner
            .start(request)
            .map(|s| pollster::block_on(s.finish()).unwrap().tokens)
    };
    assert!(tokens(3).unwrap() <= 3);
    // More than the window holds is as much as it holds.
    assert!(tokens(1000).unwrap() < captioner.config().llama.max_seq_len);
    assert!(matches!(
        tokens(0),
        Err(PipelineError::Argument {
            argument: "max_new_tokens",
            ..
        })
    ));
}

#[test]
fn text_alone_can_be_asked_about() {
    let (_folder, captioner) = tiny();
    let task = Task::Question("is there a red circle?".into());
    finish(
        &captioner,
        Request {
            task,
            ..Request::default()
        },
    );
}

#[test]
fn a_changed_fusion_changes_the_text_and_leaves_the_original_alone() {
    let (_folder, captioner) = tiny();
    let request = Request::caption(png(&scene(6)));
    let before = finish(&captioner, request.clone()).text;
    let blind = FusionChange {
        alpha: Some(0.0),
        with_cls: Some(false),
        ..FusionChange::default()
    };
    let blind = captioner.with_fusion(&blind).unwrap();
    let unseeing = finish(&blind, request.clone()).text;
    assert_eq!(
        unseeing,
        finish(&blind, Request::caption(png(&scene(7)))).text
    );
    assert_eq!(before, finish(&captioner, request).text);
}

#[test]
fn a_scale_that_is_not_there_is_refused() {
    let (_folder, captioner) = tiny();
    for (scale, fits) in [(0, true), (1, true), (2, false)] {
        let change = FusionChange {
            only_scale: Some(scale),
            ..FusionChange::default()
        };
        assert_eq!(captioner.with_fusion(&change).is_ok(), fits);
    }
}

#[test]
fn a_broken_request_leaves_the_captioner_usable() {
    let (_folder, captioner) = tiny();
    let picture = png(&scene(8));
    let empty = captioner.start(Request::question(picture.clone(), " \n"));
    assert!(
        empty
            .unwrap_err()
            .to_string()
            .contains("the question is empty")
    );
    let words = "word ".repeat(10_000);
    let long = captioner.start(Request::question(picture.clone(), words));
    assert!(long.unwrap_err().to_string().contains("10000 words"));

    let mut broken = captioner
        .start(Request::caption(picture[..40].to_vec()))
        .unwrap();
    let error = pollster::block_on(broken.next()).unwrap_err();
    assert!(matches!(error, PipelineError::Picture(_)), "{error}");
    assert!(pollster::block_on(broken.next()).unwrap().is_none());

    finish(&captioner, Request::caption(picture));
}

#[test]
fn a_traced_session_says_what_each_token_looked_at_and_writes_the_same_text() {
    let (_folder, captioner) = tiny();
    let request = Request::caption(png(&scene(9)));
    let expected = finish(&captioner, request.clone()).text;
    let mut session = captioner.start(request).unwrap().traced();
    assert!(session.sight().is_none());
    let (mut sights, mut text) = (Vec::new(), None);
    while let Some(event) = pollster::block_on(session.next()).unwrap() {
        match event {
            Event::Seen { .. } => {}
            Event::Token { .. } => sights.push(session.sight().unwrap().clone()),
            Event::Done(outcome) => text = Some(outcome.text),
        }
    }
    assert_eq!(text, Some(expected));
    assert!(sights.len() > 1);
    let tokens: usize = captioner.fusion().down_sample.iter().sum();
    for sight in &sights {
        assert_eq!((sight.layers, sight.tokens), (2, tokens));
        for row in sight.scores.chunks_exact(tokens) {
            // A tenth of 20, and no score of random weights is another's equal.
            assert_eq!(row.iter().filter(|score| score.is_nan()).count(), 2);
        }
    }
    // As bits: what was dropped equals nothing.
    let bits = |place: usize| sights[place].scores.iter().map(|score| score.to_bits());
    assert!(bits(0).ne(bits(1)));
}

#[test]
fn a_fusion_set_in_place_is_that_of_a_changed_model_and_can_be_taken_back() {
    let (_folder, mut captioner) = tiny();
    let request = Request::caption(png(&scene(10)));
    let trained = finish(&captioner, request.clone());
    assert!(trained.timings.vision_ms > 0.0);
    let changes = [
        FusionChange {
            beta: Some(40.0),
            alpha: Some(3.0),
            ..FusionChange::default()
        },
        FusionChange {
            gamma: Some(0.8),
            ..FusionChange::default()
        },
    ];
    for change in changes {
        let expected = finish(&captioner.with_fusion(&change).unwrap(), request.clone()).text;
        captioner.set_fusion(&change).unwrap();
        let changed = finish(&captioner, request.clone());
        assert_eq!(changed.text, expected);
        // The features were kept.
        assert_eq!(changed.timings.vision_ms, 0.0);
        captioner.set_fusion(&FusionChange::default()).unwrap();
        assert_eq!(finish(&captioner, request.clone()).text, trained.text);
    }
    let impossible = FusionChange {
        gamma: Some(1.0),
        ..FusionChange::default()
    };
    assert!(captioner.set_fusion(&impossible).is_err());
    assert_eq!(finish(&captioner, request).text, trained.text);
}

#[test]
fn one_beam_is_greedy_and_a_batch_is_searched_as_its_rows_are() {
    let (_folder, captioner) = tiny();
    let pictures: Vec<RgbImage> = (0..3).map(scene).collect();
    let features = captioner.encode(&pictures).unwrap();
    let asks: Vec<Ask> = [
        (1, Task::Caption),
        (0, Task::Question("how many circles are there?".into())),
        (2, Task::Caption),
    ]
    .map(|(picture, task)| Ask { picture, task })
    .into();
    let search = |asks: &[Ask], count| {
        let beams = Beams {
            count,
            length_penalty: 1.0,
        };
        pollster::block_on(captioner.search_ids(&features, asks, beams))
    };
    let greedy = pollster::block_on(captioner.answer_ids(&features, &asks)).unwrap();
    assert_eq!(search(&asks, 1).unwrap(), greedy);
    let together = search(&asks, 4).unwrap();
    for (ask, ids) in asks.iter().zip(&together) {
        assert_eq!(&search(std::slice::from_ref(ask), 4).unwrap()[0], ids);
    }
    assert!(search(&asks, 0).is_err());
    assert!(search(&asks, 1000).is_err());
}

#[test]
fn the_sights_of_a_text_are_those_it_was_written_with() {
    let (_folder, captioner) = tiny();
    let picture = scene(5);
    let features = captioner.encode(std::slice::from_ref(&picture)).unwrap();
    let ask = Ask {
        picture: 0,
        task: Task::Caption,
    };
    let asks = [ask];
    let texts = pollster::block_on(captioner.answer_ids(&features, &asks)).unwrap();
    let sights = pollster::block_on(captioner.sights(&features, &asks, texts.clone())).unwrap();
    let request = Request::caption(png(&picture));
    let mut session = captioner.start(request).unwrap().traced();
    let mut written = Vec::new();
    while let Some(event) = pollster::block_on(session.next()).unwrap() {
        if matches!(event, Event::Token { .. }) {
            written.push(session.sight().unwrap().clone());
        }
    }
    // NaN stands where the masking dropped.
    assert_eq!(format!("{:?}", sights[0]), format!("{written:?}"));
    let none = captioner.sights(&features, &asks, Vec::new());
    assert!(pollster::block_on(none).is_err());
}
