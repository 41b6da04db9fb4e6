//! What an evaluation found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::score::Metrics;
use super::shown::Shown;
use crate::table::{Align, Table};

/// An evaluation on pictures that people have described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaptionReport {
    /// The model's name.
    pub model: String,
    /// The data set's name.
    pub data: String,
    /// Pictures that were captioned.
    pub pictures: usize,
    /// Whether it was stopped before the end.
    pub stopped: bool,
    /// Seconds it took.
    pub seconds: f64,
    /// Scores of all captions together.
    pub metrics: Metrics,
    /// Different captions as a share of all, 0 to 1: near 0 where a model says the same of
    /// everything.
    pub distinct: f64,
    /// Every caption, in the order of the data set.
    pub captions: Vec<Judged>,
}

/// One caption and its scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The picture's name in its data set.
    pub id: String,
    /// What the model wrote.
    pub caption: String,
    /// What people wrote.
    pub references: Vec<String>,
    /// Scores of this caption.
    pub metrics: Metrics,
    /// The picture, and what of it was looked at.
    #[serde(skip)]
    pub(super) shown: Option<Shown>,
}

impl CaptionReport {
    /// Leaves only the first `count` captions in the report; the scores stay those of all.
    pub fn show(&mut self, count: usize) {
        self.captions.truncate(count);
    }

    /// Name and value of each score, times 100 as papers print them.
    pub(super) fn rows(&self) -> Vec<(String, String)> {
        let m = &self.metrics;
        let bleu = (1..)
            .zip(m.bleu)
            .map(|(n, value)| (format!("BLEU-{n}"), value));
        let rest = [
            ("ROUGE-L".to_owned(), m.rouge_l),
            ("CIDEr-D".to_owned(), m.cider),
            ("distinct captions".to_owned(), self.distinct),
        ];
        let percent = |(name, value)| (name, format!("{:.1}", 100.0 * value));
        bleu.chain(rest).map(percent).collect()
    }

    /// Model, data and their number in one line.
    pub(super) fn title(&self) -> String {
        let stopped = match self.stopped {
            true => " (stopped)",
            false => "",
        };
        let Self {
            model,
            data,
            pictures,
            seconds,
            ..
        } = self;
        format!("{model} on {data}: {pictures} pictures{stopped}, {seconds:.0} s")
    }
}

impl fmt::Display for CaptionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([("score", Align::Left), ("x 100", Align::Right)]);
        for (name, value) in self.rows() {
            table.row([name, value]);
        }
        write!(f, "{}\n\n{table}", self.title())?;
        for judged in &self.captions {
            write!(f, "\n{judged}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: CIDEr-D {:.1}", self.id, 100.0 * self.metrics.cider)?;
        writeln!(f, "  ours:   {}", self.caption)?;
        self.references
            .iter()
            .try_for_each(|text| writeln!(f, "  people: {}", text.trim()))
    }
}
