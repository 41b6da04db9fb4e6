//! Captions of photographs, judged by those that people wrote: BLEU, ROUGE-L and CIDEr-D as COCO's
//! evaluation computes them, and the evaluation of a model on a data set.

mod bleu;
mod cider;
mod ngrams;
mod page;
pub(crate) mod pictures;
mod ptb;
mod report;
mod rouge;
mod run;
mod score;
mod shown;

pub use cider::{Cider, CiderJudge};
pub use page::PAGE_BEGINS;
pub use pictures::Pictures;
pub use ptb::tokenize;
pub use report::{CaptionReport, Judged};
pub use run::{CaptionEval, CaptionProgress};
pub use score::{Captioned, Metrics, Scored, score};
