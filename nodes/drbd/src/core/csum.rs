//! Checksum-based resync (`csums-alg`): the target tells the digest of what it has, and a source
//! that has the same says so in place of sending it.

use super::Resource;
use super::config::OnIoError;
use super::event::{Lower, LowerResult};
use super::parts::LowerUse;
use super::points::reach;
use crate::packet::BlockId;
use crate::page::{Digest, Payload};

impl Resource {
    /// Does a resync to this volume compare digests? With `csums-after-crash-only` that pays only
    /// where the activity log marked more than was written.
    pub(super) fn compares_digests(&self, v: usize) -> bool {
        let always = !self.config.csums_after_crash_only;
        self.config.csums_alg.is_some() && (always || self.devices[v].crashed_primary)
    }

    /// Target: the range is locked against writes, but for those of the source, which come before
    /// it reads.
    pub(super) fn read_own(&mut self, key: usize) {
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.resync_reqs[key].busy = true;
        self.lower(v, Lower::Read(at), LowerUse::ResyncOwn(key));
    }

    pub(super) fn own_read_done(&mut self, key: usize, result: LowerResult) {
        let req = &mut self.resync_reqs[key];
        req.busy = false;
        let v = req.volume;
        match result {
            _ if req.dead => self.forget_request(key),
            Ok(Some(pages)) => {
                req.digest = Some(Digest::of(&pages));
                self.resync_request(key);
            }
            // What cannot be read may be overwritten all the same.
            _ if self.config.on_io_error == OnIoError::PassOn => {
                req.digest = Some(Digest::NONE);
                self.resync_request(key);
            }
            _ => self.data_failed(v),
        }
    }

    /// Source: is this what the target has?
    pub(super) fn is_known_there(&self, key: usize, payload: &Payload) -> bool {
        self.resync_reqs[key].digest.is_some_and(|theirs| theirs == Digest::of(payload))
    }

    /// Target: nothing is to be written. What is there may not be durable, so that the extents have
    /// to be in the activity log all the same before the source takes its bit back.
    pub(super) fn resync_is_same(&mut self, c: usize, id: BlockId) {
        let Some(key) = self.request_of_answer(c, id) else { return };
        reach!(self, ResyncSame);
        let (v, at) = (self.resync_reqs[key].volume, self.resync_reqs[key].at);
        self.conns[c].volumes[v].resync.pace.answered(at);
        self.resync_reqs[key].same = true;
        self.resync_answered(key);
    }
}
