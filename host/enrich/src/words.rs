//! Texts that enrichment writes into batches, each known by a number that outlives a batch.

use casbah_model::{TextId, Texts};
use hashbrown::HashMap;

/// Number of a word; 0 is the empty one.
pub(crate) type Word = u32;

/// All words of a cache.
#[derive(Debug)]
pub(crate) struct Words {
    numbers: HashMap<Box<str>, Word>,
    texts: Vec<Box<str>>,
}

impl Default for Words {
    fn default() -> Self {
        Self { numbers: HashMap::new(), texts: vec!["".into()] }
    }
}

impl Words {
    pub(crate) fn number(&mut self, text: &str) -> Word {
        if text.is_empty() {
            return 0;
        }
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as Word;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    fn text(&self, word: Word) -> &str {
        self.texts.get(word as usize).map_or("", AsRef::as_ref)
    }
}

/// The words that a batch needs, and then where they stand in its dictionary.
#[derive(Default)]
pub(crate) struct Wanted {
    /// By number of the word; 0 where it is not wanted, [`WANTED`] where it has no place yet.
    ids: Vec<TextId>,
    words: Vec<Word>,
}

const WANTED: TextId = TextId::MAX;

impl Wanted {
    pub(crate) fn want(&mut self, word: Word) {
        let at = word as usize;
        if word == 0 {
            return;
        }
        if self.ids.len() <= at {
            self.ids.resize(at + 1, 0);
        }
        if let Some(id) = self.ids.get_mut(at).filter(|id| **id == 0) {
            *id = WANTED;
            self.words.push(word);
        }
    }

    /// Finds every wanted word in the dictionary, and adds those that are missing: a batch has every
    /// text once.
    pub(crate) fn settle(&mut self, words: &Words, texts: &mut Texts) {
        if self.words.is_empty() {
            return;
        }
        let mut sought: HashMap<&str, Word> = HashMap::with_capacity(self.words.len());
        // Most texts of a batch are ids, which look like no word: length, first and last byte tell.
        let mut filter = vec![0_u64; 64];
        for &word in &self.words {
            let text = words.text(word);
            sought.insert(text, word);
            let (at, bit) = sketch(text.as_bytes());
            if let Some(slot) = filter.get_mut(at) {
                *slot |= bit;
            }
        }
        let mut missing = sought.len();
        for (id, text) in texts.iter() {
            let (at, bit) = sketch(text.as_bytes());
            if filter.get(at).is_none_or(|slot| slot & bit == 0) {
                continue;
            }
            let found = sought.get(text).and_then(|&word| self.ids.get_mut(word as usize));
            if let Some(slot) = found.filter(|slot| **slot == WANTED) {
                *slot = id;
                missing -= 1;
            }
        }
        if missing > 0 {
            self.add(words, texts);
        }
    }

    fn add(&mut self, words: &Words, texts: &mut Texts) {
        let (mut bytes, mut ends) = std::mem::take(texts).into_parts();
        for &word in &self.words {
            let slot = self.ids.get_mut(word as usize);
            let Some(slot) = slot.filter(|slot| **slot == WANTED) else { continue };
            let text = words.text(word);
            let end = u32::try_from(bytes.len() + text.len());
            // A batch that is full stays without it.
            let (Ok(end), Ok(id)) = (end, TextId::try_from(ends.len())) else {
                *slot = 0;
                continue;
            };
            bytes.push_str(text);
            ends.push(end);
            *slot = id;
        }
        *texts = Texts::from_parts(bytes, ends);
    }

    /// The text id of a word in the batch, after [`settle`](Self::settle).
    pub(crate) fn id(&self, word: Word) -> TextId {
        self.ids.get(word as usize).copied().unwrap_or(0)
    }
}

/// A place and a bit among 4,096 by length, first and last byte.
fn sketch(text: &[u8]) -> (usize, u64) {
    let (first, last) = (text.first().copied(), text.last().copied());
    let (first, last) = (u32::from(first.unwrap_or(0)), u32::from(last.unwrap_or(0)));
    let mixed = (first | last << 8 | (text.len() as u32) << 16).wrapping_mul(0x9e37_79b1) >> 20;
    ((mixed >> 6) as usize, 1 << (mixed & 63))
}
