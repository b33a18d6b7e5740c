//! Walking through a list page by page.

use galen_types::api::Page;

use crate::error::ClientError;

/// Where a page starts and how long it is.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    /// The last page's `next`.
    pub start_after: Option<String>,
    /// Items on the page; the node's default where it is not said.
    pub limit: Option<usize>,
}

impl Paging {
    pub(crate) fn query(self) -> [(&'static str, Option<String>); 2] {
        [("start_after", self.start_after), ("limit", self.limit.map(|limit| limit.to_string()))]
    }
}

/// Every item of a list, or the first `at_most`; `fetch` gives the page for a [`Paging`].
///
/// # Errors
/// The first page's error.
pub async fn collect_pages<Item, Fetch, Answer>(at_most: usize, mut fetch: Fetch) -> Result<Vec<Item>, ClientError>
where
    Fetch: FnMut(Paging) -> Answer,
    Answer: Future<Output = Result<Page<Item>, ClientError>>,
{
    let mut items = Vec::new();
    let mut start_after: Option<String> = None;
    while items.len() < at_most {
        let limit = (at_most - items.len()).min(galen_types::api::PAGE_ITEMS_MAX);
        let page = fetch(Paging { start_after: start_after.clone(), limit: Some(limit) }).await?;
        items.extend(page.items);
        // A page may be empty and still have a next one, when nothing on it matched. One that names itself as the next
        // would be walked forever.
        if page.next.is_none() || page.next == start_after {
            break;
        }
        start_after = page.next;
    }
    items.truncate(at_most);
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page_of_ten(paging: Paging) -> Result<Page<usize>, ClientError> {
        let start = paging.start_after.map_or(0, |text| text.parse().unwrap());
        let end = 10.min(start + paging.limit.unwrap().min(4));
        Ok(Page { height: 1, items: (start..end).collect(), next: (end < 10).then(|| end.to_string()) })
    }

    #[tokio::test]
    async fn all_pages_are_joined_and_cut_where_asked() {
        assert_eq!(collect_pages(usize::MAX, page_of_ten).await.unwrap(), (0..10).collect::<Vec<_>>());
        assert_eq!(collect_pages(5, page_of_ten).await.unwrap(), (0..5).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_empty_page_in_between_does_not_end_the_walk() {
        let gap = async |paging: Paging| -> Result<_, ClientError> {
            Ok(match paging.start_after {
                None => Page { height: 1, items: vec![], next: Some("a".to_owned()) },
                Some(_) => Page { height: 1, items: vec![7], next: None },
            })
        };
        assert_eq!(collect_pages(100, gap).await.unwrap(), [7]);
    }

    #[tokio::test]
    async fn a_page_that_names_itself_as_the_next_ends_the_walk() {
        let endless = async |_| -> Result<_, ClientError> {
            Ok(Page::<u8> { height: 1, items: vec![], next: Some("x".to_owned()) })
        };
        assert!(collect_pages(100, endless).await.unwrap().is_empty());
    }
}
