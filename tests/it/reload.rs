//! Reloads under traffic: all or nothing, and nothing is dropped.

mod departed;
mod files;
mod journal;
mod listeners;
mod load;
mod mutations;
mod overrides;
mod services;
mod sessions;
mod unseen;
mod whole;
