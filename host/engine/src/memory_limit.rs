//! Memory of one instance: all its linear memories together.

use wasmtime::ResourceLimiter;

/// Lets the linear memories of an instance grow to so many bytes in all. Tables are bounded by the pooling allocator.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    most: usize,
    used: usize,
}

impl MemoryLimit {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: 0 }
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let fits = used <= self.most;
        if fits {
            // Counted although the growth may fail yet: then the guest has got less than it could have.
            self.used = used;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut limit = MemoryLimit::new(100);
        let mut grow = |from, to| limit.memory_growing(from, to, None).unwrap();
        assert!(grow(0, 60));
        assert!(!grow(0, 60), "a second memory");
        assert!(grow(0, 30));
        assert!(!grow(60, 80));
        assert!(grow(60, 70));
        assert!(!grow(70, 71));
    }
}
