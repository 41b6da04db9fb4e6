//! ScienceQA's prompts and answers, as LaVIN and ADEM-VL write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names of the choices, in order: no problem has more of them.
pub const CHOICES: [char; 5] = ['A', 'B', 'C', 'D', 'E'];

/// What is appended to the prompt of a question whose answer is generated.
pub const ANSWER_PREFIX: &str = "The answer is";

/// A problem of `problems.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The question.
    pub question: String,
    /// The answers to choose from.
    pub choices: Vec<String>,
    /// Index of the right choice.
    pub answer: usize,
    /// Text to read before the question; often empty.
    #[serde(default)]
    pub hint: String,
    /// General knowledge behind the answer; often empty.
    #[serde(default)]
    pub lecture: String,
    /// Why the answer is right; often empty.
    #[serde(default)]
    pub solution: String,
    /// A caption of the picture, from a file of its own.
    #[serde(default)]
    pub caption: String,
    /// File name of the picture; `None` where there is none.
    #[serde(default)]
    pub image: Option<String>,
    /// `natural science`, `social science` or `language science`.
    #[serde(default)]
    pub subject: String,
    /// `grade1` to `grade12`.
    #[serde(default)]
    pub grade: String,
}

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Question,
    Context,
    Choices,
    /// Lecture, solution or both.
    Because(Explanation),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Explanation {
    Lecture,
    Solution,
    LectureSolution,
    SolutionLecture,
}

/// Where an explanation stands in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Alone,
    After(Explanation),
    Before(Explanation),
}

/// Order of a prompt's parts and of its answer's: two words of the letters `Q` question, `C`
/// context, `M` choices, `L` lecture, `E` solution, `A` answer, as in `QCM-LEA`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Format {
    name: String,
    input: Vec<Part>,
    output: Answer,
}

/// A name that is no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no ScienceQA format: write the prompt's letters (Q question, C context, M choices, L lecture, E solution), a dash and the answer's (A answer, with L and E before or after), each once, as in QCM-A or QCM-LEA"
)]
pub struct FormatError {
    name: String,
}

impl Format {
    /// The prompt, up to and with `Response:`. With `use_caption` the picture's caption joins the
    /// hint in the context.
    pub fn prompt(&self, problem: &Problem, use_caption: bool) -> String {
        let mut text = String::new();
        for part in &self.input {
            let line = match part {
                Part::Question => format!("Question: {}\n", problem.question),
                Part::Context => format!("Context: {}\n", context(problem, use_caption)),
                Part::Choices => format!("Options: {}\n", choices(problem)),
                Part::Because(what) => format!("BECAUSE: {}\n", what.text(problem)),
            };
            text.push_str(&line);
        }
        tidy(&(text + "Response:"))
    }

    /// The answer that is learned, which follows the prompt directly; `None` where the problem's
    /// answer is none of its choices. `swapped` puts the solution where `L` and the lecture where
    /// `E` follows the answer alone, as published checkpoints were trained.
    pub fn answer(&self, problem: &Problem, swapped: bool) -> Option<String> {
        let letter = problem.letter()?;
        let answer = format!("{ANSWER_PREFIX} {letter}.");
        Some(tidy(&match self.output {
            Answer::Alone => answer,
            Answer::After(what) => format!("{} {answer}", what.text(problem)),
            Answer::Before(what) => {
                let what = match (what, swapped) {
                    (Explanation::Lecture, true) => Explanation::Solution,
                    (Explanation::Solution, true) => Explanation::Lecture,
                    (as_named, _) => as_named,
                };
                format!("{answer} BECAUSE: {}", what.text(problem))
            }
        }))
    }
}

impl Problem {
    /// The right choice's letter; `None` where there is no such choice.
    pub fn letter(&self) -> Option<char> {
        self.choices.get(self.answer)?;
        CHOICES.get(self.answer).copied()
    }
}

/// The letter that a model's answer names: the first capital of the Latin alphabet in it.
pub fn written_letter(text: &str) -> Option<char> {
    text.chars().find(char::is_ascii_uppercase)
}

impl Explanation {
    fn text(self, problem: &Problem) -> String {
        // Line breaks are written out, as a backslash and an n.
        let lecture = problem.lecture.replace('\n', "\\n");
        let solution = problem.solution.replace('\n', "\\n");
        match self {
            Self::Lecture => lecture,
            Self::Solution => solution,
            Self::LectureSolution => format!("{lecture} {solution}"),
            Self::SolutionLecture => format!("{solution} {lecture}"),
        }
    }

    fn parse(letters: &str) -> Option<Self> {
        match letters {
            "L" => Some(Self::Lecture),
            "E" => Some(Self::Solution),
            "LE" => Some(Self::LectureSolution),
            "EL" => Some(Self::SolutionLecture),
            _ => None,
        }
    }
}

fn context(problem: &Problem, use_caption: bool) -> String {
    let caption = if use_caption { &problem.caption } else { "" };
    let context = format!("{} {caption}", problem.hint).trim().to_owned();
    if context.is_empty() {
        "N/A".to_owned()
    } else {
        context
    }
}

fn choices(problem: &Problem) -> String {
    let named: Vec<String> = CHOICES
        .iter()
        .zip(&problem.choices)
        .map(|(letter, choice)| format!("({letter}) {choice}"))
        .collect();
    named.join(" ")
}

/// Double blanks thinned out once, as the authors do.
fn tidy(text: &str) -> String {
    text.replace("  ", " ").trim().to_owned()
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        parse(name).ok_or_else(|| FormatError { name: name.into() })
    }
}

fn parse(name: &str) -> Option<Format> {
    let (asked, answered) = name.split_once('-')?;
    let mut input = Vec::new();
    let mut rest = asked;
    while let Some(letter) = rest.chars().next() {
        let because = rest.len() - rest.trim_start_matches(['L', 'E']).len();
        let (part, length) = match letter {
            'Q' => (Part::Question, 1),
            'C' => (Part::Context, 1),
            'M' => (Part::Choices, 1),
            _ => (
                Part::Because(Explanation::parse(&rest[..because])?),
                because,
            ),
        };
        let same = |other: &Part| std::mem::discriminant(other) == std::mem::discriminant(&part);
        if input.iter().any(same) {
            return None;
        }
        input.push(part);
        rest = &rest[length..];
    }
    if !input.contains(&Part::Question) {
        return None;
    }
    let output = match answered.split_once('A')? {
        ("", "") => Answer::Alone,
        (before, "") => Answer::After(Explanation::parse(before)?),
        ("", after) => Answer::Before(Explanation::parse(after)?),
        _ => return None,
    };
    Some(Format {
        name: name.to_owned(),
        input,
        output,
    })
}

impl TryFrom<String> for Format {
    type Error = FormatError;

    fn try_from(name: String) -> Result<Self, FormatError> {
        name.parse()
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.name
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Default for Format {
    /// `QCM-A`, for training and evaluation alike.
    fn default() -> Self {
        Self {
            name: "QCM-A".to_owned(),
            input: vec![Part::Question, Part::Context, Part::Choices],
            output: Answer::Alone,
        }
    }
}
