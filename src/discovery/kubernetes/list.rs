//! Listing all slices of a service, page by page.

use tokio::task::spawn_blocking;

use super::api::{Api, Trouble};
use super::slice::{Slice, Unreadable};
use super::union::Slices;
use super::wire::{Page, PageMeta};
use super::{EndpointSlices, path, put};
use crate::discovery::{Feed, SourceError};

/// Bounds on a list: bytes of a page, pages, and how often it is begun anew when its pages expire.
const MAX_PAGE: usize = 64 << 20;
const MAX_PAGES: usize = 1000;
const MAX_LISTS: usize = 3;

impl EndpointSlices {
    /// Lists all slices in namespace `at`; returns the version from which on to watch.
    pub(super) async fn list(
        &mut self,
        api: &mut Api,
        at: &str,
        feed: &Feed,
    ) -> Result<String, SourceError> {
        for _ in 0..MAX_LISTS {
            match self.list_once(api, at, feed).await {
                Ok(version) => return Ok(version),
                Err(Trouble::Gone) => {} // a page has expired
                Err(Trouble::Failed(error)) => return Err(error),
            }
        }
        Err(SourceError("the pages of the list expire before they are read".into()))
    }

    async fn list_once(&mut self, api: &mut Api, at: &str, feed: &Feed) -> Result<String, Trouble> {
        let mut listed = Slices::default();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let path = path::list(at, &self.settings.service, next.as_deref());
            let body = api.get_whole(&path, MAX_PAGE).await?;
            let port = self.settings.port.clone();
            let read = spawn_blocking(move || page(&body, port.as_deref())).await;
            let read =
                read.map_err(|error| SourceError::new("reading a page of the list", &error))?;
            let (meta, slices) = read?;
            for slice in slices {
                match slice {
                    Ok(slice) => put(&mut listed, slice, feed).await,
                    Err(unreadable) => self.keep(&mut listed, unreadable, feed).await,
                }
            }
            next = meta.next.filter(|next| !next.is_empty());
            if next.is_none() {
                self.slices = listed;
                let version = meta.resource_version.filter(|version| !version.is_empty());
                let missing = || SourceError("the list has no resourceVersion".into());
                return Ok(version.ok_or_else(missing)?);
            }
        }
        Err(SourceError(format!("the list has more than {MAX_PAGES} pages")).into())
    }

    /// What a slice said before is better than nothing.
    async fn keep(&self, listed: &mut Slices, (name, reason): Unreadable, feed: &Feed) {
        let name = name.unwrap_or_default();
        feed.reject(&format!("EndpointSlice {name}"), &reason).await;
        if let Some(members) = self.slices.get(&name)
            && let Err(reason) = listed.put(&name, members.to_vec())
        {
            feed.reject(&format!("EndpointSlice {name}"), &reason).await;
        }
    }
}

/// Reads a page of a list.
fn page(
    body: &[u8],
    port: Option<&str>,
) -> Result<(PageMeta, Vec<Result<Slice, Unreadable>>), SourceError> {
    let page: Page<'_> = serde_json::from_slice(body)
        .map_err(|error| SourceError(format!("the list is not that of Kubernetes: {error}")))?;
    let items = page.items.unwrap_or_default();
    let slices = items.iter().map(|item| Slice::read(item.get(), port)).collect();
    Ok((page.metadata.unwrap_or_default(), slices))
}
