//! The README does what it says: its commands run, its configuration loads, its metrics exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::kit::config::Gateway;
use crate::kit::daemon::Daemon;
use crate::kit::folder::Folder;
use crate::kit::papers::Papers;
use crate::kit::ports;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The gateway as `conf/byname.yaml` makes it, on free ports.
fn demo() -> Daemon {
    Gateway::new().config_text(&demo_text()).start()
}

/// Its configuration.
fn demo_text() -> String {
    let text = fs::read_to_string(root().join("conf/byname.yaml")).expect("the file that runs by default");
    let demo = ports::free().to_string();
    text.replace("127.0.0.1:8080", "{listen}")
        .replace("127.0.0.1:9090", "{admin}")
        .replace("127.0.0.1:8081", &demo)
}

/// The same command for the ports of this test.
fn moved(command: &str, daemon: &Daemon) -> String {
    command
        .replace("127.0.0.1:8080", &daemon.addr().to_string())
        .replace("127.0.0.1:9090", &daemon.admin().to_string())
}

fn run(program: &mut Command) -> String {
    let Output { status, stdout, stderr } = program.output().expect("the program can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{program:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

#[test]
fn its_curl_lines_answer() {
    let daemon = demo();
    let shell = blocks("sh");
    let curls: Vec<_> = shell.iter().filter(|block| block.starts_with("curl")).collect();
    assert_eq!(curls.len(), 3);
    let answers: Vec<_> =
        curls.iter().map(|block| run(Command::new("sh").args(["-c", &moved(block, &daemon)]))).collect();
    assert!(
        answers[0].contains("\"id\":\"general\"") && answers[0].contains("汎用的な業務向けアシスタント。")
    );
    assert!(answers[1].contains("\"object\":\"chat.completion\"") && answers[1].contains("月次レポート"));
    assert!(answers[2].ends_with("data: [DONE]\n\n"));
}

#[test]
fn its_python_lines_answer() {
    let daemon = demo();
    let python = root().join("tests/clients/.venv/bin/python");
    assert!(python.exists(), "the Python client is not installed: run tests/setup.sh first");
    for block in blocks("python") {
        let said = run(Command::new(&python).args(["-c", &moved(&block, &daemon)]));
        assert!(said.contains("['general', 'secure', 'flaky', 'slow']"), "{said}");
        assert_eq!(said.matches("Three things matter here").count(), 2, "{said}");
    }
}

#[test]
fn its_two_set_up_commands_are_there_and_can_be_run() {
    for command in ["conf/try.sh", "tests/run.sh"] {
        assert!(blocks("sh").iter().any(|block| block.trim() == command), "{command} is not in the README");
        run(Command::new("sh").arg("-n").arg(root().join(command)));
        let mode = fs::metadata(root().join(command)).expect("the script").permissions();
        use std::os::unix::fs::PermissionsExt;
        assert_ne!(mode.mode() & 0o111, 0, "{command} cannot be executed");
    }
}

#[test]
fn its_configuration_loads() {
    let folder = Folder::new("readme");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["gateway.test".to_owned()]).expect("a good name");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    for (name, text) in
        [("tls.crt", &certificate), ("clients.crt", &certificate), ("tls.key", &key.serialize_pem())]
    {
        fs::write(folder.join(name), text).expect("a file");
    }
    for (n, block) in blocks("yaml").iter().enumerate() {
        let file = folder.join(format!("{n}.yaml"));
        let there = format!("{}/", folder.display());
        let block = block
            .replace("/etc/byname/", &there)
            .replace("/var/log/byname/", &there)
            .replace(": tls.", &format!(": {there}tls."));
        fs::write(&file, block.replace(": clients.crt", &format!(": {there}clients.crt"))).expect("a file");
        run(Command::new(env!("CARGO_BIN_EXE_byname")).arg("-t").arg("-c").arg(&file));
    }
}

#[test]
fn a_key_that_keygen_prints_fits_its_digest() {
    assert!(readme().contains("`byname keygen --prefix acme`"));
    let said = run(Command::new(env!("CARGO_BIN_EXE_byname")).args(["keygen", "--prefix", "acme"]));
    let of =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    assert!(of("key:").starts_with("bn-acme-"), "{said}");
    assert_eq!(crate::kit::config::digest(of("key:")), of("sha256:"));
    let refused = Command::new(env!("CARGO_BIN_EXE_byname")).args(["keygen", "--prefix", "a b"]).status();
    assert_eq!(refused.expect("a status").code(), Some(64));
}

#[test]
fn a_bad_configuration_is_told_with_its_place_and_64() {
    let file = Path::new("tests/data/conf/bad/durations.yaml");
    for arguments in [&["-t", "-c"][..], &["-c"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_byname"))
            .current_dir(root())
            .args(arguments)
            .arg(file)
            .output()
            .expect("the program can be started");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.lines().all(|line| line.starts_with(&format!("{}:", file.display()))), "{told}");
    }
}

#[test]
fn its_table_of_metrics_is_what_the_gateway_has() {
    // Whatever is counted for what the demo does not have.
    let papers = Papers::new();
    let text = demo_text()
        .replace(
            "listen: {listen}",
            &format!(
                "listen: [ \"{{listen}}\", {{ address: \"{}\", tls: {} }} ]",
                ports::free(),
                papers.listener("")
            ),
        )
        .replace(
            "    keys:\n",
            &format!(
                "    keys:\n      later: {{ sha256: {}, expires: 2099-01-01T00:00:00Z }}\n",
                crate::kit::config::digest("bn-later")
            ),
        );
    let more = "\npolicies: { p: { moderator: { url: \"http://127.0.0.1:9/moderations\" } } }\n\
                limits_store: { redis: \"redis://127.0.0.1:9\" }\n";
    let daemon = Gateway::new().config_text(&(text + more)).start();
    let key = "bn-demo-key";
    daemon.client().chat_as(key, r#"{"model":"flaky","messages":[{"role":"user","content":"Hello"}]}"#);
    daemon.client().chat_as(key, r#"{"model":"nobody","messages":[{"role":"user","content":"Hello"}]}"#);
    // Much is shown from the first time on that it is counted.
    daemon
        .client()
        .chat_as(key, r#"{"model":"general","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#);
    daemon.log_lines(3);
    let page = daemon.ask_admin("/metrics").text();
    let mut real: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    real.sort();
    let text = readme();
    let mut told: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .filter(|(name, _)| name.starts_with("byname_") || name.starts_with("process_"))
        .map(|(name, _)| name.to_owned())
        .collect();
    told.sort();
    assert_eq!(told, real);
    labels_are_those_of_the_tables(&text, &page);
    let ends = daemon.metric("byname_key_ends_seconds{key=\"later\",tenant=\"acme\"}");
    assert_eq!(ends, Some(4_070_908_800.0));
}

/// Every label of the page stands in its metric's row, and in the table of labels.
fn labels_are_those_of_the_tables(readme: &str, page: &str) {
    let rows: Vec<Vec<&str>> = readme
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let words = |cell: &str| cell.split(", ").map(str::to_owned).collect::<Vec<_>>();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.split_once('{') else { continue };
        let name =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let row = rows.iter().find(|row| row[0] == format!("`{name}`"));
        let told = words(row.unwrap_or_else(|| panic!("{name} has no row"))[1]);
        for label in labels.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(label, _)| label) {
            let explained =
                || rows.iter().any(|row| row.len() == 2 && words(row[0]).iter().any(|l| l == label));
            assert!(label == "le" || (told.iter().any(|l| l == label) && explained()), "{name}: {label}");
        }
    }
}

/// README and man page name the members of a line, all of them and no others, and the daemon writes all of them.
#[test]
fn its_table_of_the_access_log_is_what_the_gateway_writes() {
    let demo = ports::free().port();
    let sha256 = crate::kit::config::digest("bn-log");
    let text = format!(
        "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\", demo_model: 127.0.0.1:{demo} }}
tracing: {{ endpoint: \"http://127.0.0.1:9/v1/traces\", sample: 100% }}
pools: {{ demo: {{ backends: [ {{ url: \"http://127.0.0.1:{demo}/v1\" }} ] }} }}
policies: {{ p: {{ moderator: {{ url: \"http://127.0.0.1:9/moderations\", on_failure: allow }} }} }}
tenants:
  acme:
    keys: {{ web: {{ sha256: {sha256} }} }}
    limits: {{ tokens_per_minute: 100000 }}
    models: {{ general: {{ policy: p, routes: [ {{ pool: demo, model: demo-large-2026-01 }} ] }} }}
"
    );
    let daemon = Gateway::new().config_text(&text).start();
    for model in ["general", "nobody"] {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#);
        daemon.client().chat_as("bn-log", &body);
    }
    let lines = daemon.log_lines(2);
    let written: BTreeSet<String> =
        lines.iter().flat_map(|line| line.as_object().expect("an object").keys().cloned()).collect();
    let source = fs::read_to_string(root().join("src/proxy/access_log.rs")).expect("the source");
    let of = |name: &str| {
        let whole = source.split(name).nth(1).and_then(|rest| rest.split('}').next()).expect("a struct");
        let fields = whole.lines().filter(|line| !line.trim_start().starts_with("//"));
        fields.filter_map(|line| Some(line.trim().split_once(": ")?.0.to_owned())).collect::<BTreeSet<_>>()
    };
    let mut members = of("struct Line<'a> {");
    assert!(members.remove("tokens"), "{members:?}");
    members.append(&mut of("struct Tokens {"));
    assert_eq!(written, members);

    let text = readme();
    let table = text.split("| member | when | meaning |\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let rows = table.expect("the table").lines().skip(1).filter_map(|row| row.split('|').nth(1));
    let told: BTreeSet<String> =
        rows.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect();
    assert_eq!(told, members);
    let page = fs::read_to_string(root().join("conf/man/byname.8")).expect("the man page");
    let part = page.split(".Sh DIAGNOSTICS").nth(1).and_then(|rest| rest.split(".El").next());
    let named = part.expect("a list").lines().filter_map(|line| line.strip_prefix(".It Cm "));
    let told: BTreeSet<String> = named.flat_map(|names| names.split(" , ")).map(str::to_owned).collect();
    assert_eq!(told, members);
}
