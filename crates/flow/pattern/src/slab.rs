//! A list whose places are used again after their items left, so that numbers of items stay small and stable.

/// Items by number.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, item: T) -> usize {
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.items.get_mut(place)
        {
            *slot = Some(item);
            return place;
        }
        self.items.push(Some(item));
        self.items.len() - 1
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<T> {
        let item = self.items.get_mut(place)?.take()?;
        self.free.push(place);
        Some(item)
    }

    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.items.get(place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.items.get_mut(place)?.as_mut()
    }

    /// Above every number in use.
    pub(crate) fn end(&self) -> usize {
        self.items.len()
    }
}
