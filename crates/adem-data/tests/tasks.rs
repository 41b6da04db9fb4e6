//! The published tasks' texts equal the authors', to the letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use adem_data::prompt::PromptTemplates;
use adem_data::tasks::caption::{clean_caption, written_caption};
use adem_data::tasks::instruction::{TEMPLATE, alpaca_prompt, conversation_prompt};
use adem_data::tasks::science_qa::{Format, Problem, written_letter};
use common::{golden, read_json};
use serde_json::Value;

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn science_qa_prompts_and_answers_equal_the_authors() {
    let golden = read_json(golden("text.json"));
    let problems: BTreeMap<String, Problem> =
        serde_json::from_value(golden["problems"].clone()).unwrap();
    let cases = golden["sqa_prompts"].as_array().unwrap();
    assert!(cases.len() >= 114, "{}", cases.len());
    for case in cases {
        let format: Format = text(&case["format"]).parse().unwrap();
        let problem = &problems[text(&case["qid"])];
        let prompt = format.prompt(problem, case["use_caption"].as_bool().unwrap());
        assert_eq!(prompt, case["input"], "{case}");
        assert_eq!(
            format.answer(problem, true).unwrap(),
            case["output"],
            "{case}"
        );
    }
}

#[test]
fn lecture_and_solution_stand_where_their_letters_do() {
    let problem = Problem {
        choices: vec!["x".into(), "y".into()],
        answer: 1,
        lecture: "Known.".into(),
        solution: "So it is.".into(),
        ..Problem::default()
    };
    for (format, answer) in [
        ("Q-AL", "The answer is B. BECAUSE: Known."),
        ("Q-AE", "The answer is B. BECAUSE: So it is."),
        ("Q-ALE", "The answer is B. BECAUSE: Known. So it is."),
        ("Q-LA", "Known. The answer is B."),
    ] {
        let format: Format = format.parse().unwrap();
        assert_eq!(format.answer(&problem, false).unwrap(), answer);
    }
}

#[test]
fn an_answer_that_is_no_choice_is_none() {
    let problem = |choices: usize, answer| Problem {
        choices: vec!["x".into(); choices],
        answer,
        ..Problem::default()
    };
    let format = Format::default();
    assert_eq!(format.answer(&problem(2, 2), false), None);
    assert_eq!(format.answer(&problem(9, 7), false), None);
    assert!(format.answer(&problem(5, 4), false).is_some());
}

#[test]
fn impossible_formats_are_refused_by_name() {
    for name in [
        "", "QCM", "QCM-", "-A", "CM-A", "QQ-A", "QX-A", "QLML-A", "Q-LAE", "Q-AA", "Q-B", "Qé-A",
    ] {
        let error = name.parse::<Format>().unwrap_err();
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    let json = serde_json::to_string(&"QCMLE-A".parse::<Format>().unwrap()).unwrap();
    assert_eq!(json, "\"QCMLE-A\"");
    assert_eq!(Format::default(), "QCM-A".parse().unwrap());
}

#[test]
fn captions_are_cleaned_as_blip_does() {
    let golden = read_json(golden("text.json"));
    let cases = golden["pre_caption"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let words = case["max_words"].as_u64().unwrap() as usize;
        assert_eq!(
            clean_caption(text(&case["caption"]), words),
            case["out"],
            "{case}"
        );
    }
    // A lone tab stays, as `\s{2,}` does not match it; with another blank it goes.
    assert_eq!(clean_caption("a\tb \t c", 30), "a\tb c");
    assert_eq!(clean_caption(" .!\n", 30), "");
}

#[test]
fn captions_and_letters_are_found_in_what_was_written() {
    let golden = read_json(golden("text.json"));
    for case in golden["caption_parse"].as_array().unwrap() {
        assert_eq!(
            written_caption(text(&case["text"])),
            case["caption"],
            "{case}"
        );
    }
    assert_eq!(written_caption("picture of \npicture of x"), "x");
    for case in golden["answer_parse"].as_array().unwrap() {
        let letter = written_letter(text(&case["text"]));
        let letter = letter.map_or("FAILED".to_owned(), String::from);
        assert_eq!(letter, case["letter"], "{case}");
    }
}

#[test]
fn instructions_are_asked_as_lavin_does() {
    assert_eq!(
        alpaca_prompt("Name a fruit.", ""),
        "Instruction: Name a fruit. \nResponse:"
    );
    assert_eq!(
        alpaca_prompt("Add  them.", "1 and 2"),
        "Instruction: Add them. 1 and 2\nResponse:"
    );
    for said in [
        "<image>\nWhat is it?",
        "What is it?\n<image>",
        "What is it?",
    ] {
        assert_eq!(
            conversation_prompt(said),
            "Instruction: What is it?\nResponse:"
        );
    }
    // A model that was trained so is asked so.
    let prompts = PromptTemplates {
        question: TEMPLATE.to_owned(),
        ..PromptTemplates::default()
    };
    assert_eq!(
        prompts.question_text("What is it?").unwrap(),
        conversation_prompt("What is it?")
    );
}
