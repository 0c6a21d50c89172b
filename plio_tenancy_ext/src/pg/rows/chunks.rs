//! Memory for rows, taken in chunks up to work_mem and freed as a whole.

use crate::pg::{memory_below_current, raw};
use pgrx::pg_sys;

/// A scan of a few rows needs no more than this.
const FIRST_CHUNK: usize = 8 << 10;
/// Every further chunk; untouched pages of it cost nothing. It is a mapping of its own the first time, and then makes the C library
/// keep as much, and as much again, of what is freed: a session's next scans find their memory instead of having the kernel
/// clear each page anew, which was a fifth of the time of a scan of many rows.
const CHUNK: usize = 4 << 20;
/// A row that is larger goes to the tuplestore: one allocation has to hold it.
const LARGEST_ROW: usize = 256 << 20;

/// The chunks of one scan.
pub struct Chunks {
    memory: pg_sys::MemoryContext,
    /// The room that is left in the last chunk.
    free: *mut u8,
    room: usize,
    taken: usize,
    limit: usize,
}

impl Chunks {
    /// None yet; in a context below the current one.
    pub fn begin() -> Self {
        // SAFETY: reads a setting.
        let kilobytes = unsafe { pg_sys::work_mem };
        Self {
            memory: memory_below_current(c"plio report rows"),
            free: std::ptr::null_mut(),
            room: 0,
            taken: 0,
            limit: kilobytes.max(0) as usize * 1024,
        }
    }

    /// Room for so many bytes, which are a multiple of the alignment; NULL when there is none.
    ///
    /// # Safety
    /// As for all of `raw`: plain data only, an error may jump over the frame.
    #[inline]
    pub unsafe fn place(&mut self, size: usize) -> *mut u8 {
        if self.room < size {
            let wanted = if self.taken == 0 { FIRST_CHUNK } else { CHUNK };
            let length = wanted.min(self.limit.saturating_sub(self.taken)).max(size);
            if size > LARGEST_ROW || self.taken + length > self.limit {
                return std::ptr::null_mut();
            }
            // SAFETY: the context lives as long as the rows.
            self.free = unsafe { raw::MemoryContextAlloc(self.memory, length) }.cast();
            self.room = length;
            self.taken += length;
        }
        let place = self.free;
        // SAFETY: the chunk has that much room.
        self.free = unsafe { place.add(size) };
        self.room -= size;
        place
    }

    /// The same, not held against work_mem; an error when there is none.
    pub fn outside_limit(&self, size: usize) -> *mut u8 {
        // SAFETY: the context lives until `end`.
        unsafe { pg_sys::MemoryContextAlloc(self.memory, size) }.cast()
    }

    /// Frees them.
    ///
    /// # Safety
    /// Nothing in them is used any more.
    pub unsafe fn end(&mut self) {
        // SAFETY: the chunks' own context.
        unsafe { pg_sys::MemoryContextDelete(self.memory) };
    }
}
