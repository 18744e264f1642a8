//! The items of a session, in order and within a bound: who comes when it is full pushes the oldest out.

use std::collections::VecDeque;

use super::item::Item;
use crate::http::refusal::Refusal;

/// Most items that are kept.
const MAX_ITEMS: usize = 1024;

pub(super) struct Conversation {
    items: VecDeque<Item>,
    bytes: usize,
    max_bytes: usize,
}

/// Where an item was put.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    /// The id of the item before it.
    pub(super) after: Option<String>,
    /// The ids of those that had to go.
    pub(super) forgotten: Vec<String>,
}

impl Conversation {
    /// One that takes at most about so much.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { items: VecDeque::new(), bytes: 0, max_bytes }
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// From the oldest to the newest.
    pub(super) fn items(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter()
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.items.back().map(|item| item.id.as_str())
    }

    /// The id of the item before the item `id`.
    pub(super) fn before(&self, id: &str) -> Option<&str> {
        let place = self.items.iter().position(|item| item.id == id)?;
        self.items.get(place.checked_sub(1)?).map(|item| item.id.as_str())
    }

    pub(super) fn find(&self, id: &str) -> Result<&Item, Refusal> {
        Ok(&self.items[self.place(id, "item_id")?])
    }

    /// Puts an item at the end; or behind the item `after`, or before all of them if that is `root`.
    pub(super) fn put(&mut self, item: Item, after: Option<&str>) -> Result<Put, Refusal> {
        if self.items.iter().any(|it| it.id == item.id) {
            let message = format!("there is an item '{}' already", item.id);
            return Err(Refusal::param("item.id", message).code("item_exists"));
        }
        if item.bytes() > self.max_bytes {
            let message = format!(
                "the item takes {} bytes, and a conversation of this model at most {}",
                item.bytes(),
                self.max_bytes
            );
            return Err(Refusal::param("item", message).code("item_too_large"));
        }
        let mut place = match after {
            None => self.items.len(),
            Some("root") => 0,
            Some(id) => self.place(id, "previous_item_id")? + 1,
        };
        let mut forgotten = Vec::new();
        while self.items.len() >= MAX_ITEMS || self.bytes + item.bytes() > self.max_bytes {
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= oldest.bytes();
            place = place.saturating_sub(1);
            forgotten.push(oldest.id);
        }
        let after = place.checked_sub(1).and_then(|at| self.items.get(at)).map(|item| item.id.clone());
        self.bytes += item.bytes();
        self.items.insert(place, item);
        Ok(Put { after, forgotten })
    }

    /// Changes an item, if it is still there.
    pub(super) fn change<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Item) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let place = self.place(id, "item_id")?;
        let item = &mut self.items[place];
        self.bytes -= item.bytes();
        let changed = change(item);
        self.bytes += item.bytes();
        changed
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), Refusal> {
        let place = self.place(id, "item_id")?;
        self.bytes -= self.items.remove(place).map_or(0, |item| item.bytes());
        Ok(())
    }

    fn place(&self, id: &str, param: &str) -> Result<usize, Refusal> {
        self.items.iter().position(|item| item.id == id).ok_or_else(|| {
            let message = format!(
                "there is no item '{id}' in the conversation; the oldest are forgotten when it is full"
            );
            Refusal::param(param, message).code("item_not_found")
        })
    }
}

#[cfg(test)]
mod tests {
    use corn_core::datum::Role;

    use super::super::item::Part;
    use super::*;

    fn item(id: &str, bytes: usize) -> Item {
        let parts = vec![Part::Text("x".repeat(bytes))];
        Item { id: id.to_owned(), role: Role::User, parts, status: "completed" }
    }

    fn ids(conversation: &Conversation) -> Vec<&str> {
        conversation.items().map(|item| item.id.as_str()).collect()
    }

    #[test]
    fn items_are_kept_in_order() {
        let mut all = Conversation::new(10_000);
        all.put(item("b", 1), None).unwrap();
        all.put(item("d", 1), None).unwrap();
        assert_eq!(all.put(item("a", 1), Some("root")).unwrap().after, None);
        assert_eq!(all.put(item("c", 1), Some("b")).unwrap().after.as_deref(), Some("b"));
        assert_eq!(ids(&all), ["a", "b", "c", "d"]);
        assert!(all.put(item("a", 1), None).is_err() && all.put(item("e", 1), Some("z")).is_err());
        all.delete("b").unwrap();
        assert!(all.delete("b").is_err() && all.find("b").is_err());
        assert_eq!((ids(&all), all.last_id()), (vec!["a", "c", "d"], Some("d")));
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let mut all = Conversation::new(4 * 1256);
        for id in ["a", "b", "c", "d"] {
            assert_eq!(all.put(item(id, 1000), None).unwrap().forgotten, Vec::<String>::new());
        }
        assert_eq!(all.put(item("e", 2000), None).unwrap().forgotten, ["a", "b"]);
        assert!(all.put(item("f", 6000), None).is_err());
        assert_eq!(ids(&all), ["c", "d", "e"]);
        all.change("e", |item| {
            item.parts.clear();
            Ok(())
        })
        .unwrap();
        assert_eq!(all.bytes, 2 * 1256 + 256);
        for n in 0..MAX_ITEMS * 2 {
            all.put(item(&n.to_string(), 0), None).unwrap();
            assert!(all.items.len() <= MAX_ITEMS && all.bytes <= all.max_bytes);
        }
    }
}
