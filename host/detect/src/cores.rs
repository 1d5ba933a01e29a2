//! Work on many things at once, on all cores.
//!
//! It is not a pool that lives on: threads are started for the work and end with it.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `each` makes of every item, in their order. Cores take so many items at a time; when there
/// are no more than that, no thread is started.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    each: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let chunks: Vec<&[T]> = items.chunks(at_once.max(1)).collect();
    if chunks.len() < 2 || cores < 2 {
        return items.iter().map(each).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(index) else { return done };
            done.push((index, chunk.iter().map(&each).collect::<Vec<R>>()));
        }
    };
    let mut done: Vec<(usize, Vec<R>)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(chunks.len())).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(part) => done.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().flat_map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::map;

    /// However the work is cut, results stand in the order of the items.
    #[test]
    fn results_are_in_order() {
        let items: Vec<usize> = (0..1000).collect();
        for at_once in [0, 1, 7, 999, 1000, 5000] {
            assert_eq!(
                map(&items, at_once, |item| item * 2),
                (0..2000).step_by(2).collect::<Vec<_>>()
            );
        }
        assert!(map(&[] as &[u8], 1, |item| *item).is_empty());
    }
}
