//! A first-in first-out queue that costs little while it is empty.
//!
//! Most busy connections have one payload waiting. So one element is held in the queue itself, and
//! only the second one makes the queue go to the heap. A little heap memory is kept when the queue
//! becomes empty, so that one which fills and empties in turns does not allocate each time; a
//! connection that is put to rest gives that up with all its queues. Much is given back at once.

use std::collections::VecDeque;

/// A queue; see the module.
#[derive(Debug)]
pub(super) struct Queue<T>(Slots<T>);

#[derive(Debug)]
enum Slots<T> {
    Empty,
    One(T),
    Many(VecDeque<T>),
}

/// Elements that the queue has room for when it first goes to the heap.
const FIRST_CAPACITY: usize = 4;

/// Elements whose room is kept when the queue becomes empty.
const KEPT_CAPACITY: usize = 32;

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(Slots::Empty)
    }
}

impl<T> Queue<T> {
    /// How many elements there are.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Slots::Empty => 0,
            Slots::One(_) => 1,
            Slots::Many(many) => many.len(),
        }
    }

    /// Whether there is no element.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest element.
    pub(super) fn front(&self) -> Option<&T> {
        match &self.0 {
            Slots::Empty => None,
            Slots::One(one) => Some(one),
            Slots::Many(many) => many.front(),
        }
    }

    /// The oldest element.
    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Slots::Empty => None,
            Slots::One(one) => Some(one),
            Slots::Many(many) => many.front_mut(),
        }
    }

    /// The newest element.
    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Slots::Empty => None,
            Slots::One(one) => Some(one),
            Slots::Many(many) => many.back_mut(),
        }
    }

    /// The newest element.
    pub(super) fn back(&self) -> Option<&T> {
        match &self.0 {
            Slots::Empty => None,
            Slots::One(one) => Some(one),
            Slots::Many(many) => many.back(),
        }
    }

    /// The element with so many before it.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match &self.0 {
            Slots::One(one) if index == 0 => Some(one),
            Slots::Empty | Slots::One(_) => None,
            Slots::Many(many) => many.get(index),
        }
    }

    /// The element with so many before it.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match &mut self.0 {
            Slots::One(one) if index == 0 => Some(one),
            Slots::Empty | Slots::One(_) => None,
            Slots::Many(many) => many.get_mut(index),
        }
    }

    /// Puts an element where it has `index` others before it, or last if there are fewer.
    pub(super) fn insert(&mut self, index: usize, element: T) {
        if index == 0 {
            self.push_front(element);
        } else if let Slots::Many(many) = &mut self.0 {
            many.insert(index.min(many.len()), element);
        } else {
            self.push_back(element);
        }
    }

    /// How many elements satisfy `is_before`, in a queue where those come first.
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        match &self.0 {
            Slots::Empty => 0,
            Slots::One(one) => usize::from(is_before(one)),
            Slots::Many(many) => many.partition_point(is_before),
        }
    }

    /// Adds an element behind all others.
    pub(super) fn push_back(&mut self, element: T) {
        if let Some((many, element)) = self.spread(element) {
            many.push_back(element);
        }
    }

    /// Adds an element before all others.
    pub(super) fn push_front(&mut self, element: T) {
        if let Some((many, element)) = self.spread(element) {
            many.push_front(element);
        }
    }

    /// Removes the oldest element.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        self.pop(VecDeque::pop_front)
    }

    /// Removes the newest element.
    pub(super) fn pop_back(&mut self) -> Option<T> {
        self.pop(VecDeque::pop_back)
    }

    /// The elements, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (one, many) = match &self.0 {
            Slots::Empty => (None, None),
            Slots::One(one) => (Some(one), None),
            Slots::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The elements, oldest first.
    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        let (one, many) = match &mut self.0 {
            Slots::Empty => (None, None),
            Slots::One(one) => (Some(one), None),
            Slots::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Removes all elements.
    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.0 = Slots::Empty;
    }

    /// Adds all of `behind` after the elements of this queue.
    ///
    /// Moves the elements of the shorter queue only, so an element that is joined to ever longer
    /// queues moves a logarithmic number of times.
    pub(super) fn append(&mut self, mut behind: Self) {
        if self.len() < behind.len() {
            while let Some(element) = self.pop_back() {
                behind.push_front(element);
            }
            *self = behind;
        } else {
            while let Some(element) = behind.pop_front() {
                self.push_back(element);
            }
        }
    }

    /// Keeps `element` if it is the only one. Otherwise hands it back with where it must go.
    fn spread(&mut self, element: T) -> Option<(&mut VecDeque<T>, T)> {
        match core::mem::replace(&mut self.0, Slots::Empty) {
            Slots::Empty => {
                self.0 = Slots::One(element);
                return None;
            }
            Slots::One(one) => {
                let mut many = VecDeque::with_capacity(FIRST_CAPACITY);
                many.push_back(one);
                self.0 = Slots::Many(many);
            }
            many @ Slots::Many(_) => self.0 = many,
        }
        match &mut self.0 {
            Slots::Many(many) => Some((many, element)),
            Slots::Empty | Slots::One(_) => None,
        }
    }

    fn pop(&mut self, pop: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        if let Slots::Many(many) = &mut self.0 {
            let element = pop(many);
            if many.is_empty() && many.capacity() > KEPT_CAPACITY {
                self.0 = Slots::Empty;
            }
            return element;
        }
        match core::mem::replace(&mut self.0, Slots::Empty) {
            Slots::One(one) => Some(one),
            Slots::Empty | Slots::Many(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_queue_of_payloads_is_no_larger_than_its_heap_form() {
        assert_eq!(size_of::<Queue<[usize; 3]>>(), size_of::<VecDeque<u8>>());
    }

    #[test]
    fn much_memory_is_given_back_when_the_last_element_leaves() {
        let mut queue = Queue::default();
        queue.push_back(1);
        assert!(matches!(queue.0, Slots::One(1)));
        queue.push_back(2);
        assert_eq!(queue.pop_front(), Some(1));
        assert!(matches!(queue.0, Slots::Many(_)));
        assert_eq!(queue.pop_back(), Some(2));
        assert!(matches!(&queue.0, Slots::Many(many) if many.capacity() <= KEPT_CAPACITY));
        assert!(queue.is_empty());
        (0..100).for_each(|element| queue.push_back(element));
        (0..100).for_each(|_| _ = queue.pop_front());
        assert!(matches!(queue.0, Slots::Empty));
        assert_eq!((queue.pop_front(), queue.pop_back()), (None, None));
    }

    #[test]
    fn joining_keeps_the_order_whichever_is_longer() {
        for (before, behind) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 5), (5, 2), (1, 3)] {
            let mut queue = Queue::default();
            let mut other = Queue::default();
            (0..before).for_each(|element| queue.push_back(element));
            (before..before + behind).for_each(|element| other.push_back(element));
            queue.append(other);
            assert!(queue.iter().copied().eq(0..before + behind));
        }
    }

    proptest! {
        #[test]
        fn does_what_a_deque_does(steps in vec((0_u8..6, any::<u16>()), 0..200)) {
            let mut queue = Queue::default();
            let mut model = VecDeque::new();
            for (step, element) in steps {
                match step {
                    0 | 1 => {
                        queue.push_back(element);
                        model.push_back(element);
                    }
                    2 => {
                        queue.push_front(element);
                        model.push_front(element);
                    }
                    3 => prop_assert_eq!(queue.pop_back(), model.pop_back()),
                    _ => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                }
                for element in queue.iter_mut().chain(&mut model) {
                    *element ^= 1;
                }
                prop_assert!(queue.iter().eq(&model));
                prop_assert!(queue.iter().rev().eq(model.iter().rev()));
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert_eq!(queue.front(), model.front());
                prop_assert_eq!(queue.front_mut(), model.front_mut());
                prop_assert_eq!(queue.back_mut(), model.back_mut());
            }
            queue.clear();
            prop_assert!(queue.is_empty());
        }
    }
}
