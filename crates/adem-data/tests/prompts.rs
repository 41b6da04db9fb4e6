//! Prompts and training rows: what fits, what is scored, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use adem_data::prompt::{MAX_QUESTION_BYTES, PromptError, PromptTemplates, prompt_room};
use adem_data::rows::{IGNORE, RowError, RowLayout, Truncation, training_row};
use adem_data::tokenizer::{BpeTraining, Tokenizer, train_bpe};
use proptest::prelude::*;

const TEXTS: [&str; 4] = [
    "Image: a picture of a red circle and a blue square",
    "Image: N/A a picture of two red squares",
    "Question: what colour is the circle?\nAnswer: red",
    "Question: how many circles are there?\nAnswer: two",
];

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(&train_bpe(TEXTS, &BpeTraining::default()).unwrap()).unwrap()
}

#[test]
fn a_question_fills_its_slot_trimmed() {
    let prompts = PromptTemplates::default();
    let text = prompts.question_text("  how many {question}?\n").unwrap();
    assert_eq!(text, "Question: how many {question}?\nAnswer:");
}

#[test]
fn an_empty_question_is_refused() {
    let prompts = PromptTemplates::default();
    for question in ["", "  \n\t"] {
        assert_eq!(prompts.question_text(question), Err(PromptError::Empty));
    }
}

#[test]
fn ten_thousand_words_are_refused_with_numbers() {
    let prompts = PromptTemplates::default();
    let question = "what ".repeat(10_000);
    let error = prompts
        .question_ids(&tokenizer(), &question, 100)
        .unwrap_err();
    let PromptError::TooLong {
        words: 10_000,
        tokens,
        room: 100,
    } = error
    else {
        panic!("{error}");
    };
    assert!(tokens > 10_000);
    assert!(error.to_string().contains("room for 100"), "{error}");
    let question = "x".repeat(MAX_QUESTION_BYTES + 1);
    assert!(matches!(
        prompts.question_ids(&tokenizer(), &question, 100),
        Err(PromptError::TooLarge { .. })
    ));
}

#[test]
fn a_prompt_fits_to_the_token() {
    let (tokenizer, prompts) = (tokenizer(), PromptTemplates::default());
    let ids = prompts
        .question_ids(&tokenizer, "how many circles?", 1000)
        .unwrap();
    let n = ids.len();
    assert!(
        prompts
            .question_ids(&tokenizer, "how many circles?", n)
            .is_ok()
    );
    assert!(
        prompts
            .question_ids(&tokenizer, "how many circles?", n - 1)
            .is_err()
    );
    let caption = prompts.caption_ids(&tokenizer, 100).unwrap();
    assert_eq!(tokenizer.decode(&caption).unwrap(), "a picture of");
    let prefix = prompts.prefix_ids(&tokenizer, true);
    assert_eq!(tokenizer.decode(&prefix).unwrap(), "Image: ");
    assert_ne!(prefix, prompts.prefix_ids(&tokenizer, false));
    // BOS, prefix, [cls], prompt and answer make up the window.
    let room = prompt_room(64, prefix.len(), 1, 20).unwrap();
    assert_eq!(1 + prefix.len() + 1 + room + 20, 64);
    assert!(matches!(
        prompt_room(20, 3, 1, 20),
        Err(PromptError::NoRoom {
            context: 20,
            reserved: 25
        })
    ));
}

#[test]
fn a_template_without_its_slot_is_refused() {
    for question in ["Question:", "{question} or {question}?"] {
        let prompts = PromptTemplates {
            question: question.into(),
            ..PromptTemplates::default()
        };
        assert!(matches!(
            prompts.question_text("why?"),
            Err(PromptError::Template { .. })
        ));
    }
}

fn layout(width: usize, reserve: usize) -> RowLayout {
    RowLayout {
        width,
        reserve,
        pad: 3,
        truncation: Truncation::KeepEos,
    }
}

#[test]
fn a_long_answer_keeps_its_eos() {
    let tokenizer = tokenizer();
    let answer = " a red circle and a blue square".repeat(5);
    let row = training_row(&tokenizer, "a picture of", &answer, &layout(16, 4)).unwrap();
    assert_eq!((row.ids.len(), row.labels.len(), row.len), (16, 16, 12));
    assert_eq!((row.ids[11], row.labels[11]), (2, 2));
    // Room is left for what the model inserts.
    assert_eq!(row.ids[12..], [3; 4]);
    assert_eq!(row.labels[12..], [IGNORE; 4]);
}

#[test]
fn a_prompt_without_room_for_an_answer_is_refused() {
    let tokenizer = tokenizer();
    let prompt = "Question: how many circles are there?\nAnswer:";
    let n = tokenizer.encode_with_bos(prompt).len();
    assert!(training_row(&tokenizer, prompt, " two", &layout(n + 2, 0)).is_ok());
    assert_eq!(
        training_row(&tokenizer, prompt, " two", &layout(n + 6, 5)),
        Err(RowError::PromptTooLong {
            prompt: n,
            width: n + 6,
            reserve: 5
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_row_scores_the_answer_and_its_eos_alone(
        prompt in "(a picture of|Question: [a-z ]{0,20}\\?\nAnswer:)", answer in "( [a-z]{1,8}){1,12}", width in 60usize..120
    ) {
        let tokenizer = tokenizer();
        let row = training_row(&tokenizer, &prompt, &answer, &layout(width, 4)).unwrap();
        // These prompts end where a word does: generation will see the same tokens.
        prop_assert!(row.prompt_is_prefix);
        prop_assert_eq!(&row.ids[..row.prompt_len], tokenizer.encode_with_bos(&prompt));
        for (at, (&id, &label)) in row.ids.iter().zip(&row.labels).enumerate() {
            let scored = (row.prompt_len..row.len).contains(&at);
            prop_assert_eq!(label, if scored { id } else { IGNORE });
            prop_assert_eq!(id == 3, at >= row.len);
        }
        prop_assert_eq!(row.ids[row.len - 1], 2);
        if row.len < width - 4 {
            prop_assert_eq!(tokenizer.decode(&row.ids).unwrap(), format!("{prompt}{answer}"));
        }
    }
}
