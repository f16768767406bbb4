//! What was written to one file and is not yet synced.

use std::collections::BTreeMap;

/// Bytes of a block, the unit in which writes are held back.
const BLOCK: u64 = 4096;

/// Where blocks end up. Offsets and lengths are bytes.
pub(super) trait Store {
    /// Why it failed.
    type Error;
    /// Read; there are at least so many bytes.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;
    /// Write, behind the end as well.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Cut.
    fn truncate(&mut self, size: u64) -> Result<(), Self::Error>;
}

/// A file as its readers see it, and how that differs from what is stored.
#[derive(Debug)]
pub(super) struct Unsynced {
    /// Bytes of the file as its readers see it.
    size: u64,
    /// Bytes of the file as it is stored.
    stored: u64,
    /// Bytes from the start for which the stored file holds: it may have been cut, and have grown again.
    shown: u64,
    /// What was written, by number of the block. Bytes beyond `size` are zero.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Unsynced {
    /// Nothing yet, over a file of so many bytes.
    pub(super) const fn new(size: u64) -> Self {
        Self { size, stored: size, shown: size, blocks: BTreeMap::new() }
    }

    /// Bytes of the file as its readers see it.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Blocks that are held back.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Read, and fill with zeros what lies behind the end; how many bytes were there.
    pub(super) fn read<S: Store>(&self, store: &mut S, at: u64, into: &mut [u8]) -> Result<usize, S::Error> {
        into.fill(0);
        let there = length(self.size.saturating_sub(at)).min(into.len());
        let shown = length(self.shown.saturating_sub(at)).min(there);
        if let Some(first) = into.get_mut(..shown)
            && shown > 0
        {
            store.read(at, first)?;
        }
        let end = at.saturating_add(into.len() as u64);
        for (number, block) in self.blocks.range(at / BLOCK..end.div_ceil(BLOCK)) {
            let start = number * BLOCK;
            let (from, to) = (start.max(at), (start + BLOCK).min(end));
            let source = block.get(length(from - start)..length(to - start));
            if let (Some(source), Some(target)) = (source, into.get_mut(length(from - at)..length(to - at))) {
                target.copy_from_slice(source);
            }
        }
        Ok(there)
    }

    /// Write, in memory alone.
    pub(super) fn write<S: Store>(&mut self, store: &mut S, at: u64, bytes: &[u8]) -> Result<(), S::Error> {
        let end = at.saturating_add(bytes.len() as u64);
        for number in at / BLOCK..end.div_ceil(BLOCK) {
            let start = number * BLOCK;
            if !self.blocks.contains_key(&number) {
                let mut block = vec![0; length(BLOCK)];
                self.read(store, start, &mut block)?;
                self.blocks.insert(number, block);
            }
            let (from, to) = (start.max(at), (start + BLOCK).min(end));
            let block = self.blocks.get_mut(&number);
            let target = block.and_then(|block| block.get_mut(length(from - start)..length(to - start)));
            if let (Some(target), Some(source)) = (target, bytes.get(length(from - at)..length(to - at))) {
                target.copy_from_slice(source);
            }
        }
        self.size = self.size.max(end);
        Ok(())
    }

    /// Cut, in memory alone.
    pub(super) fn truncate(&mut self, size: u64) {
        self.blocks.retain(|number, _| number * BLOCK < size);
        if let Some(last) = self.blocks.get_mut(&(size / BLOCK))
            && let Some(behind) = last.get_mut(length(size % BLOCK)..)
        {
            behind.fill(0);
        }
        self.size = size;
        self.shown = self.shown.min(size);
    }

    /// Store the first so many blocks of what is held back. It is still to be synced.
    pub(super) fn write_back<S: Store>(&mut self, store: &mut S, blocks: usize) -> Result<(), S::Error> {
        if self.stored > self.shown {
            store.truncate(self.shown)?;
            self.stored = self.shown;
        }
        for (number, block) in self.blocks.iter().take(blocks) {
            let start = number * BLOCK;
            let bytes = block.get(..length(self.size - start).min(block.len())).unwrap_or_default();
            store.write(start, bytes)?;
            self.stored = self.stored.max(start + bytes.len() as u64);
        }
        Ok(())
    }

    /// Everything is stored and synced: nothing is held back any more.
    pub(super) fn synced(&mut self) {
        self.blocks.clear();
        self.shown = self.size;
    }
}

/// A number of bytes of which somebody holds a buffer.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
