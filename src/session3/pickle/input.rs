//! The file's bytes, taken in order; nothing is ever read past their end or across a frame's.

use super::error::PickleErrorKind;

/// A cursor.
#[derive(Debug)]
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the current frame ends; past it there is none.
    frame_end: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, frame_end: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Bytes not yet taken.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Starts a frame of so many bytes.
    pub(super) fn frame(&mut self, length: u64) -> Result<(), PickleErrorKind> {
        let length = usize::try_from(length).map_err(|_| PickleErrorKind::Frame)?;
        if self.in_frame() || length > self.left() {
            return Err(PickleErrorKind::Frame);
        }
        self.frame_end = self.at + length;
        Ok(())
    }

    /// Whether a frame is unfinished.
    pub(super) fn in_frame(&self) -> bool {
        self.at < self.frame_end
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], PickleErrorKind> {
        if count > self.left() {
            return Err(PickleErrorKind::Truncated);
        }
        let end = self.at + count;
        if self.in_frame() && end > self.frame_end {
            return Err(PickleErrorKind::Frame);
        }
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// As many bytes as a length field says.
    pub(super) fn take_long(&mut self, count: u64) -> Result<&'a [u8], PickleErrorKind> {
        self.take(usize::try_from(count).map_err(|_| PickleErrorKind::Truncated)?)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleErrorKind> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleErrorKind> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleErrorKind> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleErrorKind> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, PickleErrorKind> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleErrorKind> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Big-endian, as BINFLOAT alone is.
    pub(super) fn f64(&mut self) -> Result<f64, PickleErrorKind> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// A line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleErrorKind> {
        let length =
            self.bytes[self.at..].iter().position(|byte| *byte == b'\n').ok_or(PickleErrorKind::Truncated)?;
        let line = self.take(length + 1)?;
        Ok(&line[..length])
    }
}
