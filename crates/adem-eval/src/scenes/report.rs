//! What an evaluation found.

use std::collections::BTreeMap;
use std::fmt;

use adem_data::scenes::{Qa, QaKind, Scene, check_answer, check_caption};
use serde::{Deserialize, Serialize};

use super::fact::FactKind;
use crate::table::{Align, Table};
use crate::tally::Tally;

/// An evaluation on scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenesReport {
    /// The model's name.
    pub model: String,
    /// Number of the evaluation set.
    pub seed: u64,
    /// Scenes that were to be judged.
    pub count: usize,
    /// Scenes that were judged; fewer where the evaluation was stopped.
    pub scenes: usize,
    /// Seconds it took.
    pub seconds: f64,
    /// One entry a setting, the model as trained first.
    pub settings: Vec<SettingReport>,
    /// Some failures of the model as trained.
    pub failures: Vec<Failure>,
}

/// What one setting reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingReport {
    /// The setting's name.
    pub name: String,
    /// Captions of which every stated fact is true.
    pub captions: Tally,
    /// Captions that were understood at all.
    pub understood: Tally,
    /// Captions that are true and account for every object.
    pub complete: Tally,
    /// Stated facts that are true, by kind.
    pub facts: BTreeMap<FactKind, Tally>,
    /// Questions answered right.
    pub questions: Tally,
    /// The same by kind.
    pub by_kind: BTreeMap<QaKind, Tally>,
}

/// Something the model said that is not so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Seed of the scene.
    pub scene: u64,
    /// The question; `None` for a caption.
    pub question: Option<String>,
    /// A right answer.
    pub right: String,
    /// What the model said.
    pub said: String,
    /// The facts in a caption that are not so.
    pub wrong: Vec<String>,
}

impl SettingReport {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Counts a caption; what is wrong with it, if anything.
    pub(super) fn judge_caption(&mut self, scene: &Scene, text: &str) -> Option<Failure> {
        let verdict = check_caption(scene, text);
        self.captions.add(verdict.is_true());
        self.understood.add(verdict.parsed);
        self.complete.add(verdict.complete);
        for fact in &verdict.facts {
            self.facts
                .entry(FactKind::of(fact))
                .or_default()
                .add(fact.holds);
        }
        let wrong = verdict.facts.iter().filter(|fact| !fact.holds);
        (!verdict.is_true()).then(|| Failure {
            scene: scene.seed,
            question: None,
            right: scene.captions().into_iter().next().unwrap_or_default(),
            said: text.to_owned(),
            wrong: wrong.map(|fact| fact.text.clone()).collect(),
        })
    }

    /// Counts an answer; what is wrong with it, if anything.
    pub(super) fn judge_answer(&mut self, scene: &Scene, qa: &Qa, text: &str) -> Option<Failure> {
        let right = check_answer(scene, qa, text);
        self.questions.add(right);
        self.by_kind.entry(qa.kind).or_default().add(right);
        (!right).then(|| Failure {
            scene: scene.seed,
            question: Some(qa.question.clone()),
            right: qa.answer.clone(),
            said: text.to_owned(),
            wrong: Vec::new(),
        })
    }

    fn fact(&self, kind: FactKind) -> Tally {
        self.facts.get(&kind).copied().unwrap_or_default()
    }

    fn kind(&self, kind: QaKind) -> Tally {
        self.by_kind.get(&kind).copied().unwrap_or_default()
    }
}

impl ScenesReport {
    fn captions_table(&self) -> Table {
        let names = ["captions true", "complete", "understood"];
        let facts = FactKind::ALL.map(FactKind::name);
        let columns = names
            .into_iter()
            .chain(facts)
            .map(|name| (name, Align::Right));
        let mut table = Table::new([("% of", Align::Left)].into_iter().chain(columns));
        for s in &self.settings {
            let facts = FactKind::ALL.map(|kind| s.fact(kind));
            let cells = [s.captions, s.complete, s.understood]
                .into_iter()
                .chain(facts);
            table.row(
                [s.name.clone()]
                    .into_iter()
                    .chain(cells.map(|cell| cell.to_string())),
            );
        }
        table
    }

    fn questions_table(&self) -> Table {
        let kinds = QaKind::ALL.iter().map(|kind| (kind.name(), Align::Right));
        let columns = [("% of", Align::Left), ("questions right", Align::Right)];
        let mut table = Table::new(columns.into_iter().chain(kinds));
        for s in &self.settings {
            let kinds = QaKind::ALL.iter().map(|kind| s.kind(*kind).to_string());
            table.row(
                [s.name.clone(), s.questions.to_string()]
                    .into_iter()
                    .chain(kinds),
            );
        }
        table
    }
}

impl fmt::Display for ScenesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let questions = self.settings.first().map_or(0, |s| s.questions.of);
        write!(
            f,
            "{}: {} unseen scenes, {questions} questions",
            self.model, self.scenes
        )?;
        if self.scenes < self.count {
            write!(f, " (stopped, {} were asked for)", self.count)?;
        }
        writeln!(f, ", seed {}, {:.0} s\n", self.seed, self.seconds)?;
        writeln!(f, "{}", self.captions_table())?;
        write!(f, "{}", self.questions_table())?;
        for failure in &self.failures {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.question.as_deref().unwrap_or("caption");
        writeln!(f, "scene {}: {asked}", self.scene)?;
        writeln!(f, "  said:  {}", self.said)?;
        write!(f, "  right: {}", self.right)?;
        match self.wrong.as_slice() {
            [] => writeln!(f),
            wrong => writeln!(f, "\n  wrong: {}", wrong.join("; ")),
        }
    }
}
