use serde_json::{Value, json};

use super::{FakeModel, FakeProvider, Fault, Speaks};
use crate::{Reply, client, within};

async fn get(fake: &FakeProvider, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = client::request(fake.address, "GET", path, headers, b"");
    within("a reply", request).await.unwrap()
}

fn models(count: usize) -> Vec<FakeModel> {
    (0..count).map(|i| FakeModel::new(&format!("m{i}")).prices("0.00000025", "0.0000015")).collect()
}

#[tokio::test]
async fn pages_lead_to_each_other() {
    for (speaks, list, id, next) in [
        (Speaks::OpenRouter, "/v1/models", "/data/0/id", "/v1/models?offset=2"),
        (Speaks::Anthropic, "/v1/models", "/data/0/id", "/v1/models?after_id=m1"),
        (Speaks::Google, "/v1beta/models", "/models/0/name", "/v1beta/models?pageToken=2"),
        (Speaks::HuggingFace, "/api/models?author=a", "/0/id", "/api/models?author=a&cursor=2"),
    ] {
        let fake = FakeProvider::builder(speaks).models(models(3)).page_size(2).start().await;
        let first = get(&fake, list, &[]).await.json();
        let second = get(&fake, next, &[]).await.json();
        let id = |page: &Value| page.pointer(id).unwrap().as_str().unwrap().to_owned();
        assert!(id(&first).ends_with("m0") && id(&second).ends_with("m2"), "{speaks:?}");
        fake.fault_later_pages(Fault::Status(500));
        assert_eq!(get(&fake, list, &[]).await.status, 200, "{speaks:?}");
        assert_eq!(get(&fake, next, &[]).await.status, 500, "{speaks:?}");
    }
}

#[tokio::test]
async fn tags_keys_and_faults_are_kept_to() {
    let builder = FakeProvider::builder(Speaks::OpenAi).models(models(1)).etag("\"a\"").key("k");
    let fake = builder.start().await;
    let key = ("authorization", "Bearer k");
    assert_eq!(get(&fake, "/v1/models", &[]).await.status, 401);
    assert_eq!(get(&fake, "/v1/models", &[key]).await.status, 200);
    let known = get(&fake, "/v1/models", &[key, ("if-none-match", "\"a\"")]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    fake.fault_next(1, Fault::ErrorBody);
    assert!(get(&fake, "/v1/models", &[key]).await.json().get("error").is_some());
    fake.fault(Fault::TooMany("7".to_owned()));
    let busy = get(&fake, "/v1/models", &[key]).await;
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("7")));
    fake.heal();
    assert_eq!(get(&fake, "/v1/models", &[key]).await.json()["data"][0]["id"], "m0");
    assert_eq!(fake.request_count(), 6);
}

#[test]
fn a_price_for_a_million_is_that_for_one_moved_six_places() {
    for (one, million) in [
        ("0.0000002", "0.2"),
        ("0.0000015", "1.5"),
        ("0", "0"),
        ("0.00001", "10"),
        ("2", "2000000"),
    ] {
        let model = FakeModel::new("m").prices(one, "0").routed().unwrap();
        let price = &model["providers"][0]["pricing"]["input"];
        assert_eq!(*price, serde_json::from_str::<Value>(million).unwrap(), "{one}");
    }
    assert_eq!(FakeModel::new("m").field("x", json!(1)).listed(Speaks::Vllm)["x"], 1);
}
