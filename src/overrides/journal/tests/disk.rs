//! A disk in memory: what was not synced is lost with the power, and any call can fail.

#![expect(clippy::disallowed_types, reason = "a disk blocks its caller")]

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::super::disk::{Disk, Lock, LogFile};

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and has done nothing.
    Once,
    /// It fails, and has done half of it.
    Short,
    /// It fails, and the system forgets that there is something to sync: a later sync succeeds, and
    /// has done nothing.
    OnceUnsynced,
    /// It and all later calls fail.
    PowerLoss,
}

/// The content of a file, and what of it would survive.
#[derive(Clone, Debug, Default)]
struct Inode {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// From here on the system has forgotten what was not synced.
    forgotten: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: HashMap<PathBuf, usize>,
    synced_names: HashMap<PathBuf, usize>,
    locked: Vec<PathBuf>,
    calls: usize,
    syncs: usize,
    fault: Option<(usize, Fault)>,
    next: Option<(Fault, &'static str)>,
    all: bool,
    dead: bool,
    stalled: bool,
    /// Calls that wait for its end.
    waiting: usize,
}

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<(Mutex<State>, Condvar)>,
}

/// While it lives, no call is answered.
pub struct Stall(MemoryDisk);

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.state().stalled = false;
        self.0.state.1.notify_all();
    }
}

impl MemoryDisk {
    /// With one file.
    pub fn with(path: &Path, content: &[u8]) -> MemoryDisk {
        let disk = MemoryDisk::default();
        let (written, synced) = (content.to_vec(), content.to_vec());
        let mut state = disk.state();
        state.inodes.push(Inode { written, synced, forgotten: None });
        state.names.insert(path.to_owned(), 0);
        state.synced_names.insert(path.to_owned(), 0);
        drop(state);
        disk
    }

    /// The call of this number has this fault.
    pub fn failing(at: usize, fault: Fault) -> MemoryDisk {
        let disk = MemoryDisk::default();
        disk.state().fault = Some((at, fault));
        disk
    }

    /// The next call of this name has this fault.
    pub fn fail_next(&self, fault: Fault, call: &'static str) {
        self.state().next = Some((fault, call));
    }

    /// All calls fail.
    pub fn fail_all(&self, fail: bool) {
        self.state().all = fail;
    }

    pub fn stall(&self) -> Stall {
        self.state().stalled = true;
        Stall(self.clone())
    }

    /// Waits until a call waits for the stall.
    pub async fn until_stalled(&self) {
        while self.state().waiting == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub fn calls(&self) -> usize {
        self.state().calls
    }

    pub fn syncs(&self) -> usize {
        self.state().syncs
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Somebody removes a file.
    pub fn remove(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.synced_names.remove(path);
    }

    /// Somebody changes the content of a file.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.names[path];
        edit(&mut state.inodes[inode].written);
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.names.get(path).map(|inode| state.inodes[*inode].written.clone()).unwrap_or_default()
    }

    pub fn size(&self, path: &Path) -> usize {
        let state = self.state();
        state.names.get(path).map_or(0, |inode| state.inodes[*inode].written.len())
    }

    fn asides(&self) -> Vec<PathBuf> {
        let state = self.state();
        let is_aside = |path: &&PathBuf| path.to_string_lossy().contains(".damaged-");
        state.names.keys().filter(is_aside).cloned().collect()
    }

    /// Files that were set aside.
    pub fn aside(&self) -> usize {
        self.asides().len()
    }

    pub fn set_aside_content(&self) -> Vec<u8> {
        self.content(&self.asides()[0])
    }

    /// The disk after the power was lost: of what was not synced, none (0), half (1) or all (2) was
    /// written by then, of names as of bytes.
    pub fn after_power_loss(&self, survives: usize) -> MemoryDisk {
        let disk = MemoryDisk::default();
        let state = self.state();
        let mut new = disk.state();
        for Inode { written, synced, forgotten } in &state.inodes {
            let written = &written[..forgotten.unwrap_or(written.len())];
            let more = written.len().saturating_sub(synced.len()) * survives / 2;
            let kept = match written.starts_with(synced) {
                true => written[..synced.len() + more].to_vec(),
                false => synced.clone(),
            };
            new.inodes.push(Inode { written: kept.clone(), synced: kept, forgotten: None });
        }
        new.names = if survives > 0 { state.names.clone() } else { state.synced_names.clone() };
        new.synced_names = new.names.clone();
        drop(new);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// A call: waits while the disk stalls, and returns its fault.
    fn call(&self, name: &'static str) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.state();
        while state.stalled {
            state.waiting += 1;
            state = self.state.1.wait(state).unwrap();
            state.waiting -= 1;
        }
        let number = state.calls;
        state.calls += 1;
        if state.dead || state.all {
            return Err(io::Error::other("the disk is gone"));
        }
        let fault = match (state.fault, state.next) {
            (Some((at, fault)), _) if at == number => Some(fault),
            (_, Some((fault, call))) if call == name => {
                state.next = None;
                Some(fault)
            }
            _ => None,
        };
        match fault {
            Some(Fault::PowerLoss) => {
                state.dead = true;
                Err(io::Error::other("the power is lost"))
            }
            Some(Fault::Once) => Err(io::Error::other("it fails")),
            fault => Ok((state, fault)),
        }
    }

    /// As `call`, for calls that cannot be done by halves.
    fn whole(&self, name: &'static str) -> io::Result<MutexGuard<'_, State>> {
        match self.call(name)? {
            (state, None) => Ok(state),
            (_, Some(_)) => Err(io::Error::other("it fails")),
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl LogFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, fault) = self.disk.call("append")?;
        let file = &mut state.inodes[self.inode];
        if fault.is_some() {
            file.written.extend(&bytes[..bytes.len() / 2]);
            return Err(io::Error::other("the disk is full"));
        }
        file.written.extend(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut state, fault) = self.disk.call("sync")?;
        state.syncs += 1;
        let file = &mut state.inodes[self.inode];
        if fault.is_some() {
            file.forgotten = file.forgotten.or(Some(file.synced.len()));
            return Err(io::Error::other("it cannot be synced"));
        }
        if file.forgotten.is_none() {
            file.synced = file.written.clone();
        }
        Ok(())
    }

    fn is_at(&self, path: &Path, size: u64) -> bool {
        let state = self.disk.state();
        let length = state.inodes[self.inode].written.len() as u64;
        state.names.get(path) == Some(&self.inode) && length == size
    }
}

#[derive(Debug)]
struct Held(MemoryDisk, PathBuf);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let path = self.1.clone();
        self.0.state().locked.retain(|locked| *locked != path);
    }
}

impl Disk for MemoryDisk {
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.whole("lock")?;
        if state.locked.iter().any(|locked| locked == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked.push(path.to_owned());
        Ok(Box::new(Held(self.clone(), path.to_owned())))
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.whole("read")?;
        Ok(state.names.get(path).map(|inode| state.inodes[*inode].written.clone()))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let state = self.whole("open")?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.whole("create")?;
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.names.insert(path.to_owned(), inode);
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn set_aside(&self, path: &Path, aside: &Path) -> io::Result<()> {
        let mut state = self.whole("set_aside")?;
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(aside.to_owned(), inode);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.whole("rename")?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.whole("sync_folder")?;
        state.syncs += 1;
        state.synced_names = state.names.clone();
        Ok(())
    }
}
