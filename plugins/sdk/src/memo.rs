//! What was made of texts that come again and again, such as addresses and names: made once a batch.
//!
//! It is not a cache that forgets: it lives as long as the batch that is made, and holds no more than
//! the batch is made of.

use casbah_model::table::Dictionary;

/// What was made of each text.
#[derive(Debug)]
pub struct Memo<T> {
    texts: Dictionary,
    /// By index of the text; the empty text is the first.
    made: Vec<Option<T>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { texts: Dictionary::default(), made: Vec::new() }
    }
}

impl<T: Clone> Memo<T> {
    /// What becomes of a text; `make` makes it the first time.
    #[inline]
    pub fn get(&mut self, text: &str, make: impl FnOnce(&str) -> T) -> T {
        // What does not fit any more is made anew every time.
        let Some(id) = self.texts.intern(text) else { return make(text) };
        let id = id as usize;
        if let Some(Some(made)) = self.made.get(id) {
            return made.clone();
        }
        let new = make(text);
        if self.made.len() <= id {
            self.made.resize_with(id + 1, || None);
        }
        if let Some(place) = self.made.get_mut(id) {
            *place = Some(new.clone());
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_made_once() {
        let (mut memo, mut made) = (Memo::default(), Vec::new());
        for text in ["b", "", "a", "b", "", "a"] {
            let length = memo.get(text, |text| {
                made.push(text.to_owned());
                text.len()
            });
            assert_eq!(length, text.len());
        }
        assert_eq!(made, ["b", "", "a"]);
    }
}
