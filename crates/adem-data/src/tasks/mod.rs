//! The published tasks' texts: what is asked, what is answered, and how an answer is read back.
//!
//! The wording is the authors', to the letter: a published checkpoint answers other words worse.

pub mod caption;
pub mod instruction;
pub mod science_qa;
