//! Whether activities can stand for steps, each for one only.
//!
//! Order in time is not its business: `sequence` sees to that.

/// The most steps a rule can have, `not` steps aside.
pub(crate) const MOST: usize = 8;

/// Activities that can be the same steps: which ones, one bit each, and how many activities.
pub(crate) type Class = (u8, u8);

/// Adds an activity to its class. More of a class than there are steps make no difference.
pub(crate) fn add(classes: &mut Vec<Class>, steps: u8) {
    match classes.iter_mut().find(|(mask, _)| *mask == steps) {
        Some((_, number)) => *number = (*number + 1).min(MOST as u8),
        None => classes.push((steps, 1)),
    }
}

/// Whether the wanted steps can be given to activities, each to one of its own.
///
/// They can when for every choice among them there are at least as many activities that can be one
/// of the chosen (Hall's theorem).
pub(crate) fn covers(classes: &[Class], wanted: u8) -> bool {
    let mut chosen = wanted;
    while chosen != 0 {
        let able: u32 = classes
            .iter()
            .filter(|(mask, _)| mask & chosen != 0)
            .map(|(_, number)| u32::from(*number))
            .sum();
        if able < chosen.count_ones() {
            return false;
        }
        chosen = (chosen - 1) & wanted;
    }
    true
}

/// Whether the wanted steps can be given to activities so that one of the class at `place` gets one.
pub(crate) fn covers_with(classes: &[Class], place: usize, wanted: u8) -> bool {
    let Some(&(mask, number)) = classes.get(place) else { return false };
    let mut others = classes.to_vec();
    if let Some(class) = others.get_mut(place) {
        class.1 = number.saturating_sub(1);
    }
    let own = mask & wanted;
    (0..8).map(|step| 1 << step).any(|bit| own & bit != 0 && covers(&others, wanted & !bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries every way to give steps to activities.
    fn by_trying(activities: &[u8], wanted: u8) -> bool {
        if wanted == 0 {
            return true;
        }
        let bit = 1 << wanted.trailing_zeros();
        (0..activities.len()).any(|place| {
            let mut rest = activities.to_vec();
            rest.remove(place) & bit != 0 && by_trying(&rest, wanted & !bit)
        })
    }

    proptest! {
        /// The theorem says what trying everything says, also for one activity that must be in it.
        #[test]
        fn agrees_with_trying_everything(activities in proptest::collection::vec(0u8..16, 0..6), wanted in 0u8..16) {
            let mut classes = Vec::new();
            activities.iter().for_each(|&steps| add(&mut classes, steps));
            prop_assert_eq!(covers(&classes, wanted), by_trying(&activities, wanted));
            for (place, &(mask, _)) in classes.iter().enumerate() {
                let mut rest = activities.clone();
                rest.remove(rest.iter().position(|&steps| steps == mask).unwrap());
                let expected = (0..4)
                    .map(|step| 1 << step)
                    .any(|bit| wanted & mask & bit != 0 && by_trying(&rest, wanted & !bit));
                prop_assert_eq!(covers_with(&classes, place, wanted), expected);
            }
        }
    }
}
