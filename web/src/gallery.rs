//! The pictures of this visit and what was written about each.

use crate::{
    output::{Output, Progress},
    picture::Picture,
};
use adem_protocol::Task;
use leptos::{prelude::*, reactive::owner::LocalStorage};
use std::rc::Rc;

/// A picture with its caption and the questions about it.
#[derive(Clone, Copy)]
pub struct Item {
    /// Its number; the gallery's numbers never come again.
    pub id: u64,
    /// The picture; a live camera puts in another one again and again.
    pub picture: RwSignal<Rc<Picture>, LocalStorage>,
    /// Its caption.
    pub caption: RwSignal<Output>,
    /// The answers to the questions about it, the oldest first.
    pub answers: RwSignal<Vec<RwSignal<Output>>>,
    /// The caption with the fusion as it was trained, to compare others with.
    pub trained: RwSignal<Option<String>>,
    /// Where that one is written when nobody has asked for it.
    pub unseen: RwSignal<Output>,
}

impl Item {
    fn new(id: u64, picture: Picture) -> Self {
        Item {
            id,
            picture: RwSignal::new_local(Rc::new(picture)),
            caption: RwSignal::new(Output::waiting(Task::Caption)),
            answers: RwSignal::default(),
            trained: RwSignal::default(),
            unseen: RwSignal::new(Output::waiting(Task::Caption)),
        }
    }

    /// The picture's name.
    pub fn name(self) -> String {
        self.picture.with(|picture| picture.name.clone())
    }

    /// All that is written about it: the caption first.
    pub fn outputs(self) -> Vec<RwSignal<Output>> {
        let answers = self.answers.get_untracked();
        std::iter::once(self.caption).chain(answers).collect()
    }

    /// What was written is no longer true: the picture or the model is another one.
    pub fn forget(self) {
        self.trained.set(None);
        self.unseen.update(Output::again);
    }

    fn dispose(self) {
        self.outputs().into_iter().for_each(RwSignal::dispose);
        self.answers.dispose();
        self.trained.dispose();
        self.unseen.dispose();
        self.picture.dispose();
    }
}

/// The pictures, and which of them is in view.
#[derive(Clone, Copy)]
pub struct Gallery {
    /// In the order they came.
    pub items: RwSignal<Vec<Item>>,
    /// The one in view.
    pub selected: RwSignal<Option<u64>>,
    numbers: StoredValue<u64>,
}

impl Gallery {
    /// No picture yet.
    pub fn new() -> Self {
        Gallery {
            items: RwSignal::default(),
            selected: RwSignal::default(),
            numbers: StoredValue::new(0),
        }
    }

    /// The picture in view.
    pub fn current(self) -> Option<Item> {
        let selected = self.selected.get()?;
        self.items.with(|items| find(items, selected))
    }

    /// The same, without asking to hear of changes.
    pub fn current_untracked(self) -> Option<Item> {
        untrack(|| self.current())
    }

    /// Adds pictures; the first of them comes into view.
    pub fn add(self, pictures: Vec<Picture>) {
        let added: Vec<Item> = pictures
            .into_iter()
            .map(|picture| {
                self.numbers.update_value(|number| *number += 1);
                Item::new(self.numbers.get_value(), picture)
            })
            .collect();
        let Some(first) = added.first().map(|item| item.id) else {
            return;
        };
        self.items.update(|items| items.extend(added));
        self.selected.set(Some(first));
    }

    /// Takes a picture away; its neighbour comes into view.
    pub fn remove(self, id: u64) {
        let mut gone = None;
        self.items.try_update(|items| {
            let place = items.iter().position(|item| item.id == id)?;
            gone = Some(items.remove(place));
            if self.selected.get_untracked() == Some(id) {
                let next = items.get(place).or(items.last());
                self.selected.set(next.map(|item| item.id));
            }
            Some(())
        });
        if let Some(item) = gone {
            // After those who still look at it have looked away.
            set_timeout(move || item.dispose(), std::time::Duration::from_secs(1));
        }
    }

    /// What waits for its turn: of the picture in view first, then in order.
    pub fn next_waiting(self) -> Option<(Item, RwSignal<Output>)> {
        let items = self.items.get_untracked();
        let current = self.current_untracked();
        current.into_iter().chain(items).find_map(|item| {
            let waits = |output: &RwSignal<Output>| {
                output.with_untracked(|output| output.progress == Progress::Waiting)
            };
            let output = item.outputs().into_iter().find(waits)?;
            Some((item, output))
        })
    }

    /// All outputs of all pictures.
    pub fn outputs(self) -> Vec<RwSignal<Output>> {
        let items = self.items.get_untracked();
        items.into_iter().flat_map(Item::outputs).collect()
    }
}

fn find(items: &[Item], id: u64) -> Option<Item> {
    items.iter().find(|item| item.id == id).copied()
}
