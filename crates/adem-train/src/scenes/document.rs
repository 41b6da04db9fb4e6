//! The texts that the decoder learns to read from.

use adem_data::scenes::{Qa, QaKind, Scene};
use adem_model::TrainRow;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::text::Texts;

/// Share of documents without facts.
const OUT_OF_NOTHING: f64 = 0.05;
/// Share of documents with a caption.
const CAPTIONED: f64 = 0.5;
/// Times the facts are told again.
const AGAIN: usize = 2;
/// Questions in a document.
const QUESTIONS: usize = 3;
/// Share of them of the kinds that are hardest to learn: they need two things to be brought
/// together.
const LOOKED_UP: f64 = 0.4;
/// Statements judged in a document, at most.
const CHECKS: usize = 14;
/// Kinds of statements, those most wanted twice.
const CHECKED: [QaKind; 4] = [
    QaKind::Exists,
    QaKind::Exists,
    QaKind::Relation,
    QaKind::Where,
];
/// Attributes of an object, at most.
const ATTRIBUTES: usize = 6;

impl Texts {
    /// A text to learn reading from: a scene's facts in the picture's place, then the same told
    /// anew, statements about them judged, questions with their answers and often a caption, in
    /// any order; now and then a caption out of nothing. What is read is not learned, what is said
    /// is.
    ///
    /// A lookup is learned from many of them: questions alone hold one in a dozen tokens, facts
    /// told again one in every token or two, and statements one in four.
    pub(crate) fn document(&self, scene: &Scene, rng: &mut ChaCha8Rng) -> TrainRow {
        let special = self.tokenizer.special();
        if rng.random::<f64>() < OUT_OF_NOTHING {
            let caption = self.caption_row(scene, rng);
            let prefix = &self.prefix.without_picture;
            return told(vec![special.bos], prefix, &[caption]);
        }
        let mut given = self.prefix.with_picture.clone();
        given.extend(self.tokenizer.encode(&scene.facts()));
        let mut rows: Vec<TrainRow> = unrelated_questions(scene, rng)
            .iter()
            .map(|qa| self.question_row(qa))
            .collect();
        let mut others: Vec<TrainRow> = (0..AGAIN).map(|_| self.again_row(scene, rng)).collect();
        others.push(self.checks_row(scene, rng));
        if rng.random::<f64>() < CAPTIONED {
            others.push(self.caption_row(scene, rng));
        }
        for other in others {
            rows.insert(rng.random_range(0..=rows.len()), other);
        }
        told(vec![special.bos], &given, &rows)
    }

    /// All objects of a scene told once more, in another order and from another attribute on. Every
    /// word but the first few of an object follows from the facts.
    fn again_row(&self, scene: &Scene, rng: &mut ChaCha8Rng) -> TrainRow {
        let mut order: Vec<usize> = (0..scene.objects.len()).collect();
        order.shuffle(rng);
        let told: Vec<String> = order
            .into_iter()
            .map(|object| scene.fact(object, rng.random_range(0..ATTRIBUTES)))
            .collect();
        self.row(self.prompts.image_prefix.trim_end(), &told.join(", "))
    }

    /// Statements about a scene, each followed by its verdict, which is what is learned:
    /// `"a red circle yes, the cross above the ring no, the ring top left, "`. They are questions
    /// without their wrapping.
    fn checks_row(&self, scene: &Scene, rng: &mut ChaCha8Rng) -> TrainRow {
        let mut ids = self.tokenizer.encode_with_bos("Answer:");
        let mut labels = vec![None; ids.len()];
        let mut stated: Vec<String> = Vec::new();
        for _ in 0..CHECKS {
            let Some((statement, verdict)) = check(scene, rng) else {
                continue;
            };
            if stated.contains(&statement) {
                continue;
            }
            let item = self.tokenizer.encode(&format!("{statement} {verdict},"));
            let learned = self.tokenizer.encode(&statement).len();
            labels.extend(
                (0..)
                    .zip(&item)
                    .map(|(i, id)| (i >= learned).then_some(*id)),
            );
            ids.extend(item);
            stated.push(statement);
        }
        ids.push(self.tokenizer.special().eos);
        labels.push(None);
        TrainRow {
            ids,
            labels,
            picture: true,
        }
    }
}

/// A statement about a scene and its verdict.
fn check(scene: &Scene, rng: &mut ChaCha8Rng) -> Option<(String, String)> {
    let mut pool = scene.questions_of_draw(rng.random());
    pool.retain(|qa| CHECKED.contains(&qa.kind));
    if pool.is_empty() {
        return None;
    }
    let kind = CHECKED[rng.random_range(0..CHECKED.len())];
    if pool.iter().any(|qa| qa.kind == kind) {
        pool.retain(|qa| qa.kind == kind);
    }
    let qa = pool.swap_remove(rng.random_range(0..pool.len()));
    let asked = qa.question.trim_end_matches('?');
    let statement = ["is there ", "where is ", "is "]
        .iter()
        .find_map(|start| asked.strip_prefix(start))
        .unwrap_or(asked);
    Some((statement.to_owned(), qa.answer))
}

/// Questions about a scene each of which is drawn by itself: a scene's own list has as many yes as
/// no, and a reader who knows half of the answers would know the rest without looking.
fn unrelated_questions(scene: &Scene, rng: &mut ChaCha8Rng) -> Vec<Qa> {
    let mut asked: Vec<Qa> = Vec::new();
    for _ in 0..QUESTIONS {
        let mut pool = scene.questions_of_draw(rng.random());
        if rng.random::<f64>() < LOOKED_UP {
            pool.retain(|qa| matches!(qa.kind, QaKind::Exists | QaKind::Where | QaKind::Relation));
        }
        if pool.is_empty() {
            continue;
        }
        let qa = pool.swap_remove(rng.random_range(0..pool.len()));
        if asked.iter().all(|other| other.question != qa.question) {
            asked.push(qa);
        }
    }
    asked
}

/// `start given` and then every row without its first token; labels as the rows have them.
fn told(start: Vec<u32>, given: &[u32], rows: &[TrainRow]) -> TrainRow {
    let mut ids = start;
    ids.extend(given);
    let mut labels = vec![None; ids.len()];
    for row in rows {
        ids.extend(row.ids.iter().skip(1));
        labels.extend(row.labels.iter().skip(1));
    }
    TrainRow {
        ids,
        labels,
        picture: false,
    }
}
