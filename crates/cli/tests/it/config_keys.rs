//! No key without effect: each is in this table with the test that changes it and observes the
//! difference, so that a new key cannot come without one. And none without a line in the manual.

use crate::observe::daemon;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// Every key, and the test that observes it: file and function.
const TESTED: &[(&str, &str, &str)] = &[
    ("server.listen", "config_server", "listen_is_where_it_answers"),
    (
        "server.admin_token_env",
        "config_server",
        "admin_token_env_names_the_variable_with_the_token",
    ),
    ("server.admin_token_file", "config_server", "admin_token_file_names_the_file_with_the_token"),
    (
        "server.allow_unauthenticated",
        "config_server",
        "allow_unauthenticated_opens_an_address_that_others_can_reach",
    ),
    ("server.allowed_hosts", "config_server", "allowed_hosts_are_names_that_it_goes_by"),
    ("server.allowed_origins", "config_server", "allowed_origins_are_pages_that_may_call"),
    ("server.drain_timeout", "stopping", "what_takes_too_long_is_cut_off_and_the_exit_says_so"),
    ("log.format", "config_log", "format_text_makes_each_request_one_line_for_people"),
    ("log.level", "config_log", "level_says_how_much_is_written"),
    ("log.requests", "config_log", "requests_false_leaves_requests_out"),
    ("routing.strategy", "config_routing", "strategy_round_robin_gives_each_its_turn"),
    (
        "routing.unknown_capabilities",
        "config_routing",
        "unknown_capabilities_allow_or_refuse_who_does_not_say",
    ),
    ("routing.zone", "config_routing", "zone_prefers_backends_of_the_same_zone"),
    (
        "routing.retry",
        "failover",
        "where_retry_is_safe_nothing_that_may_have_been_served_is_sent_twice",
    ),
    ("routing.retry_ratio", "failover", "a_retry_budget_of_nothing_allows_no_retry"),
    ("routing.retries_per_second", "failover", "an_outage_does_not_double_the_load"),
    ("routing.eject_after", "ejection", "a_backend_that_keeps_failing_gets_no_further_requests"),
    (
        "routing.eject_for",
        "ejection",
        "each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest",
    ),
    (
        "routing.eject_for_at_most",
        "ejection",
        "each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest",
    ),
    (
        "routing.bytes_per_token",
        "config_routing",
        "bytes_per_token_is_the_estimate_of_what_a_prompt_fills",
    ),
    ("routing.aliases", "config_routing", "aliases_are_other_names_of_models"),
    ("routing.fallbacks", "config_routing", "fallbacks_are_tried_when_a_model_cannot_be_served"),
    ("health.interval", "health", "interval_is_the_time_between_two_probes"),
    ("health.timeout", "health", "timeout_is_how_long_one_probe_may_take"),
    (
        "health.failure_threshold",
        "health",
        "failure_threshold_is_how_many_bad_probes_make_it_unhealthy",
    ),
    (
        "health.recovery_threshold",
        "health",
        "recovery_threshold_is_how_many_good_probes_make_it_healthy",
    ),
    ("limits.header_bytes", "limits", "a_head_that_is_too_long_is_refused"),
    ("limits.body_bytes", "limits", "a_body_that_is_too_long_is_refused"),
    ("limits.total_body_bytes", "limits", "all_bodies_together_have_a_limit"),
    ("limits.answer_header_bytes", "limits", "an_answers_head_that_is_too_long_is_given_up"),
    ("limits.answer_bytes", "limits", "an_answer_that_is_too_long_is_given_up"),
    ("limits.event_bytes", "limits", "an_event_that_is_too_long_is_given_up"),
    (
        "limits.header_timeout",
        "limits",
        "a_head_that_does_not_arrive_is_given_up_while_others_are_served",
    ),
    ("limits.body_timeout", "limits", "a_body_that_does_not_arrive_is_given_up"),
    ("limits.send_timeout", "limits", "a_client_that_stops_reading_is_dropped_and_costs_no_memory"),
    ("limits.connect_timeout", "limits", "a_connection_that_does_not_come_about_is_given_up"),
    ("limits.first_byte_timeout", "failover", "when_all_fail_the_client_hears_what_happened_last"),
    ("limits.idle_timeout", "limits", "an_answer_that_stalls_is_given_up"),
    ("limits.total_timeout", "limits", "the_whole_request_has_its_time_retries_included"),
    ("limits.queue_size", "queue", "a_full_queue_refuses"),
    ("limits.queue_timeout", "queue", "a_wait_in_the_queue_ends"),
    ("limits.pool_size", "limits", "connections_are_kept_as_long_and_as_many_as_the_pool_may"),
    ("limits.pool_timeout", "limits", "connections_are_kept_as_long_and_as_many_as_the_pool_may"),
    ("store.url", "config_store", "url_is_where_everything_is_kept"),
    ("store.password_env", "config_store", "password_env_and_password_file_hold_the_password"),
    ("store.password_file", "config_store", "password_env_and_password_file_hold_the_password"),
    ("store.blobs", "config_store", "blobs_and_blobs_endpoint_say_where_large_bodies_are_kept"),
    (
        "store.blobs_endpoint",
        "config_store",
        "blobs_and_blobs_endpoint_say_where_large_bodies_are_kept",
    ),
    ("store.keep", "config_store", "keep_is_for_how_long_old_changes_are_kept"),
    ("models.refresh_every", "config_models", "refresh_every_is_how_often_providers_are_asked"),
    ("models.refresh_backends", "config_models", "refresh_backends_asks_when_a_list_changes"),
    ("files.cache_dir", "config_files", "cache_dir_is_where_files_are_cached"),
    ("files.auto_sync", "config_files", "auto_sync_syncs_what_is_new_before_models_are_listed"),
    ("files.single_files", "config_files", "single_files_is_how_many_come_one_by_one"),
    ("files.parallel", "config_files", "parallel_is_how_many_come_at_once"),
    ("files.mirrors", "config_files", "mirrors_are_asked_before_the_source"),
    ("files.max_file_bytes", "config_files", "max_file_bytes_is_the_largest_file"),
    ("files.usage", "config_files", "usage_false_counts_no_copies"),
    ("github.web", "config_files", "web_raw_and_api_are_where_github_is"),
    ("github.raw", "config_files", "web_raw_and_api_are_where_github_is"),
    ("github.api", "config_files", "web_raw_and_api_are_where_github_is"),
    ("github.token_env", "config_files", "token_env_and_token_file_open_what_is_private"),
    ("github.token_file", "config_files", "token_env_and_token_file_open_what_is_private"),
    ("sources.type", "config_files", "type_url_and_directory_say_how_a_source_is_reached"),
    ("sources.publishes", "config_files", "publishes_says_what_kind_of_registry_it_is"),
    ("sources.name", "config_files", "name_repo_and_refs_say_what_is_synced_and_what_it_is_called"),
    ("sources.repo", "config_files", "name_repo_and_refs_say_what_is_synced_and_what_it_is_called"),
    ("sources.refs", "config_files", "name_repo_and_refs_say_what_is_synced_and_what_it_is_called"),
    (
        "sources.registry_path",
        "config_files",
        "registry_path_and_path_are_folders_of_the_repository",
    ),
    ("sources.path", "config_files", "registry_path_and_path_are_folders_of_the_repository"),
    ("sources.asset", "config_files", "asset_is_the_archive_of_a_release"),
    ("sources.url", "config_files", "type_url_and_directory_say_how_a_source_is_reached"),
    ("sources.dfn_path", "config_files", "publishes_says_what_kind_of_registry_it_is"),
    ("sources.directory", "config_files", "type_url_and_directory_say_how_a_source_is_reached"),
    ("sources.web", "config_files", "a_source_may_have_web_raw_and_api_of_its_own"),
    ("sources.raw", "config_files", "a_source_may_have_web_raw_and_api_of_its_own"),
    ("sources.api", "config_files", "a_source_may_have_web_raw_and_api_of_its_own"),
    (
        "sources.token_env",
        "config_files",
        "a_source_may_have_a_token_env_or_a_token_file_of_its_own",
    ),
    (
        "sources.token_file",
        "config_files",
        "a_source_may_have_a_token_env_or_a_token_file_of_its_own",
    ),
    ("providers.type", "config_models", "type_and_url_say_who_is_asked_and_where"),
    ("providers.url", "config_models", "type_and_url_say_who_is_asked_and_where"),
    (
        "providers.api_key_env",
        "config_models",
        "api_key_env_and_api_key_file_are_shown_to_the_provider_alone",
    ),
    (
        "providers.api_key_file",
        "config_models",
        "api_key_env_and_api_key_file_are_shown_to_the_provider_alone",
    ),
    ("providers.models", "config_models", "models_are_those_that_are_asked_for"),
    ("providers.timeout", "config_models", "timeout_is_how_long_a_list_may_take"),
    ("backends.name", "config_backends", "name_is_how_everybody_speaks_of_it"),
    ("backends.type", "config_backends", "type_says_how_it_is_probed"),
    (
        "backends.url",
        "config_backends",
        "url_is_where_it_answers_with_or_without_v1_and_below_a_path",
    ),
    (
        "backends.api_key_env",
        "config_backends",
        "api_key_env_and_api_key_file_are_shown_to_the_backend_alone",
    ),
    (
        "backends.api_key_file",
        "config_backends",
        "api_key_env_and_api_key_file_are_shown_to_the_backend_alone",
    ),
    ("backends.priority", "config_routing", "strategy_priority_keeps_to_the_lowest_that_can"),
    ("backends.weight", "config_routing", "strategy_weighted_shares_by_weight"),
    ("backends.zone", "config_routing", "zone_prefers_backends_of_the_same_zone"),
    ("backends.models", "config_backends", "models_are_taken_as_declared_in_both_forms"),
    (
        "backends.max_concurrent",
        "config_backends",
        "max_concurrent_is_the_most_that_it_is_given_at_once",
    ),
];

/// Returns the names that are expected where a config has an unknown one: all that there are,
/// optional ones too.
async fn expected_at(config: &str) -> Vec<String> {
    let output = daemon(config).run(["config", "show"]).await;
    let list = output.stderr.split_once("unknown field `zzz`, expected ");
    let (_, list) = list.unwrap_or_else(|| panic!("{output:?}"));
    let line = list.lines().next().expect("a line").trim_start_matches("one of ");
    // Of two it says "this or that".
    let names = line.split(", ").flat_map(|name| name.split(" or "));
    names.map(|name| name.trim_matches('`').to_owned()).collect()
}

/// Returns every key that a config file can have.
async fn all_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for section in expected_at("zzz = 1\n").await {
        let header = match &*section {
            "backends" => "[[backends]]".to_owned(),
            "providers" => "[providers.openrouter]".to_owned(),
            "sources" => "[sources.mine]".to_owned(),
            _ => format!("[{section}]"),
        };
        let names = expected_at(&format!("{header}\nzzz = 1\n")).await;
        keys.extend(names.into_iter().map(|name| format!("{section}.{name}")));
    }
    keys
}

#[tokio::test]
async fn every_key_has_a_test_that_observes_it() {
    let tested: BTreeSet<String> = TESTED.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(all_keys().await, tested);
    for (key, file, test) in TESTED {
        let path = format!("{}/tests/it/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let is_test = source.contains(&format!("]\nasync fn {test}()"));
        assert!(is_test, "{key}: there is no test {test} in {file}.rs");
        let name = key.rsplit('.').next().expect("a name");
        assert!(source.contains(name), "{file}.rs does not know {key}");
    }
}

/// Returns what the manual says of each key: its default, as it stands there.
fn manual() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = fs::read_to_string(path).expect("the manual");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "key, type, default and meaning: {row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        (cells[0].trim_matches('`').to_owned(), cells[2].trim_matches('`').to_owned())
    })
    .collect()
}

/// Returns whether a key stands in a table of which there may be many.
fn is_of_table(key: &str) -> bool {
    ["backends.", "providers.", "sources."].iter().any(|table| key.starts_with(table))
}

#[tokio::test]
async fn the_manual_has_every_key_with_its_default() {
    let manual = manual();
    let keys: BTreeSet<String> = manual.keys().cloned().collect();
    assert_eq!(keys, all_keys().await);
    let defaults = daemon("").run(["config", "show", "--json"]).await.json();
    for (key, said) in manual.iter().filter(|(key, _)| !is_of_table(key)) {
        let (section, name) = key.split_once('.').expect("section and name");
        let default = match &defaults[section][name] {
            Value::Null => "none".to_owned(),
            value => value.to_string(),
        };
        assert_eq!(*said, default, "{key}");
    }
    let backend = "[[backends]]\nname = \"a\"\nurl = \"http://h\"\n";
    let shown = daemon(backend).run(["config", "show", "--json"]).await.json();
    for (key, said) in manual.iter().filter(|(key, _)| key.starts_with("providers.")) {
        assert_eq!(said, "none", "{key}");
    }
    let source = daemon("[sources.mine]\nrepo = \"me/mine\"\n");
    let shown_source = source.run(["config", "show", "--json"]).await.json();
    for (key, said) in manual.iter().filter(|(key, _)| key.starts_with("sources.")) {
        let name = key.trim_start_matches("sources.");
        let default = match (&shown_source["sources"]["mine"][name], name) {
            (Value::Null, _) | (_, "repo") => "none".to_owned(),
            (value, _) => value.to_string(),
        };
        assert_eq!(*said, default, "{key}");
    }
    for (key, said) in manual.iter().filter(|(key, _)| key.starts_with("backends.")) {
        let name = key.trim_start_matches("backends.");
        let default = match (&shown["backends"][0][name], name) {
            (_, "name" | "url") => "required".to_owned(),
            (Value::Null, _) => "none".to_owned(),
            (value, _) => value.to_string(),
        };
        assert_eq!(*said, default, "{key}");
    }
}
