//! A value held by one stage for one request: whole, or the items of a stream in flight.

use std::collections::VecDeque;

use crate::datum::Datum;
use crate::program::SlotPlan;

/// A value, as far as it is here.
#[derive(Debug)]
pub(crate) struct Slot {
    content: Content,
    /// Whether it is known that the value is there or will be; an optional value may turn out absent.
    presence: Presence,
    /// What still uses it: steps of its own list, which stand for those inside of them, and the rounds that hand it on.
    pub(crate) users: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Unknown,
    Present,
    Absent,
}

#[derive(Debug)]
enum Content {
    Whole(Option<Datum>),
    Stream(Stream),
}

/// The items of a stream between the slowest reader and the producer.
#[derive(Debug)]
struct Stream {
    window: u32,
    items: VecDeque<Datum>,
    /// Number of the first item in `items`.
    first: u64,
    ended: bool,
    /// For each reader, in order of the plan's readers: items given to it, and items it is done with.
    readers: Vec<Cursor>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    given: u64,
    done: u64,
}

/// What a reader finds next in a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Item(Datum),
    Nothing,
    Ended,
}

impl Slot {
    /// A slot that nothing has been put in; it is leased when its list of steps begins.
    pub(crate) fn new(plan: &SlotPlan) -> Self {
        let content = match plan.window() {
            None => Content::Whole(None),
            Some(window) => Content::Stream(Stream {
                window,
                items: VecDeque::new(),
                first: 0,
                ended: false,
                readers: vec![Cursor::default(); plan.stream_readers],
            }),
        };
        Self { content, presence: Presence::Unknown, users: 0 }
    }

    /// Begins its lease, empty as at first.
    pub(crate) fn open(&mut self, plan: &SlotPlan) {
        self.users = plan.users;
        self.presence = if plan.is_optional { Presence::Unknown } else { Presence::Present };
        match &mut self.content {
            Content::Whole(datum) => *datum = None,
            Content::Stream(stream) => {
                stream.items.clear();
                (stream.first, stream.ended) = (0, false);
                stream.readers.fill(Cursor::default());
            }
        }
    }

    /// The whole value, once it is there.
    pub(crate) fn whole(&self) -> Option<&Datum> {
        match &self.content {
            Content::Whole(datum) => datum.as_ref(),
            Content::Stream(_) => None,
        }
    }

    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.content, Content::Stream(_))
    }

    /// Whether the value has turned out absent.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self.presence, Presence::Absent)
    }

    /// Whether it is a stream of which items come, or none and then its end.
    pub(crate) const fn is_open_stream(&self) -> bool {
        self.is_stream() && matches!(self.presence, Presence::Present)
    }

    /// The value is absent, or if not `is_absent` it is there or will be. Whether that is new.
    pub(crate) fn settle_presence(&mut self, is_absent: bool) -> bool {
        let is_new = self.presence == Presence::Unknown;
        if is_new {
            self.presence = if is_absent { Presence::Absent } else { Presence::Present };
        }
        is_new
    }

    /// Whether nothing more will come.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_absent()
            || match &self.content {
                Content::Whole(datum) => datum.is_some(),
                Content::Stream(stream) => stream.ended,
            }
    }

    /// Items that may still be pushed before a reader takes one.
    pub(crate) fn room(&self) -> u32 {
        match &self.content {
            Content::Whole(datum) => u32::from(datum.is_none()),
            Content::Stream(stream) => stream.window.saturating_sub(stream.items.len() as u32),
        }
    }

    /// Puts a whole value or a stream's next item in. The producer has seen that there is room.
    /// Returns what no reader needs, because all have left.
    pub(crate) fn push(&mut self, datum: Datum) -> Result<Released, &'static str> {
        if self.is_absent() {
            return Err("a value was made that is absent");
        }
        self.presence = Presence::Present;
        match &mut self.content {
            Content::Whole(Some(_)) => Err("a value was made twice"),
            Content::Whole(empty) => {
                *empty = Some(datum);
                Ok(Released::default())
            }
            Content::Stream(stream) if stream.ended => Err("an item came after the stream's end"),
            Content::Stream(stream) if stream.items.len() as u32 >= stream.window => {
                Err("an item came without a credit for it")
            }
            Content::Stream(stream) => {
                stream.items.push_back(datum);
                Ok(stream.release())
            }
        }
    }

    /// Ends a stream.
    pub(crate) const fn end(&mut self) {
        self.presence = Presence::Present;
        if let Content::Stream(stream) = &mut self.content {
            stream.ended = true;
        }
    }

    /// Gives reader number `reader` its next item. It stays held until the reader is done with it.
    pub(crate) fn give(&mut self, reader: usize) -> Next {
        let Content::Stream(stream) = &mut self.content else { return Next::Nothing };
        let cursor = &mut stream.readers[reader];
        match stream.items.get((cursor.given - stream.first) as usize) {
            Some(item) => {
                cursor.given += 1;
                Next::Item(item.clone())
            }
            None if stream.ended => Next::Ended,
            None => Next::Nothing,
        }
    }

    /// Whether a reader that may not take an item now has at least reached the end.
    pub(crate) fn ended_for(&self, reader: usize) -> Next {
        match &self.content {
            Content::Stream(stream) if stream.ended => {
                let reached = stream.readers[reader].given - stream.first == stream.items.len() as u64;
                if reached { Next::Ended } else { Next::Nothing }
            }
            _ => Next::Nothing,
        }
    }

    /// Drops what is held.
    pub(crate) fn clear(&mut self) {
        match &mut self.content {
            Content::Whole(datum) => *datum = None,
            Content::Stream(stream) => stream.items.clear(),
        }
    }

    /// Reader number `reader` is done with `count` of the items it was given. Returns the items
    /// that no reader needs any more.
    pub(crate) fn done(&mut self, reader: usize, count: u32) -> Released {
        let Content::Stream(stream) = &mut self.content else { return Released::default() };
        let cursor = &mut stream.readers[reader];
        cursor.done = cursor.done.saturating_add(u64::from(count)).min(cursor.given);
        stream.release()
    }

    /// Reader number `reader` takes nothing more.
    pub(crate) fn leave(&mut self, reader: usize) -> Released {
        let Content::Stream(stream) = &mut self.content else { return Released::default() };
        stream.readers[reader] = Cursor { given: u64::MAX, done: u64::MAX };
        stream.release()
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.content {
            Content::Whole(datum) => datum.as_ref().map_or(0, Datum::bytes),
            Content::Stream(stream) => stream.items.iter().map(Datum::bytes).sum(),
        }
    }
}

/// Items that left a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) items: u32,
    pub(crate) bytes: u64,
}

impl Stream {
    fn release(&mut self) -> Released {
        let slowest = self.readers.iter().map(|cursor| cursor.done).min();
        let slowest = slowest.unwrap_or(self.first + self.items.len() as u64);
        let mut released = Released::default();
        while self.first < slowest
            && let Some(item) = self.items.pop_front()
        {
            self.first += 1;
            released.items += 1;
            released.bytes += item.bytes();
        }
        released
    }
}
