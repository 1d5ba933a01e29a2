//! New texts for a batch's dictionary.
//!
//! It is not a dictionary itself: it lives for one pass over one batch.

use casbah_model::table::{TextId, Texts};

/// New texts on their way into a batch's dictionary, each looked for among those already there.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Place in `ids` by text. The first word is the empty one, which is text 0.
    places: hashbrown::HashMap<String, usize>,
    ids: Vec<TextId>,
}

/// Place of a word in [`Words`]; 0 is the empty word.
pub(crate) type Word = usize;

impl Words {
    /// Wants a text; it is given its place at once, and its id by [`Words::settle`].
    pub(crate) fn want(&mut self, text: &str) -> Word {
        if text.is_empty() {
            return 0;
        }
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        self.places.insert(text.to_owned(), self.places.len() + 1);
        self.places.len()
    }

    /// Finds every wanted word in the dictionary, and adds those that are missing.
    pub(crate) fn settle(&mut self, texts: &mut Texts) {
        const UNKNOWN: TextId = TextId::MAX;
        self.ids = vec![UNKNOWN; self.places.len() + 1];
        if let Some(first) = self.ids.first_mut() {
            *first = 0;
        }
        // Most texts differ in length from every wanted one, and need no hashing.
        let mut lengths = [false; 256];
        for word in self.places.keys() {
            if let Some(slot) = lengths.get_mut(word.len().min(255)) {
                *slot = true;
            }
        }
        for (id, text) in texts.iter() {
            let likely = lengths.get(text.len().min(255)).copied().unwrap_or(false);
            if likely
                && let Some(&place) = self.places.get(text)
                && let Some(slot) = self.ids.get_mut(place)
                && *slot == UNKNOWN
            {
                *slot = id;
            }
        }
        let (mut bytes, mut ends) = std::mem::take(texts).into_parts();
        for (word, &place) in &self.places {
            let Some(slot) = self.ids.get_mut(place).filter(|slot| **slot == UNKNOWN) else {
                continue;
            };
            let end = u32::try_from(bytes.len() + word.len());
            let (Ok(end), Ok(id)) = (end, TextId::try_from(ends.len())) else {
                *slot = 0;
                continue;
            };
            bytes.push_str(word);
            ends.push(end);
            *slot = id;
        }
        *texts = Texts::from_parts(bytes, ends);
    }

    /// The id of a word, once they are settled.
    pub(crate) fn id(&self, word: Word) -> TextId {
        self.ids.get(word).copied().unwrap_or(0)
    }
}
