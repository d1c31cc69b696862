//! What is said first, by other people's programs: HAProxy and nginx speak the PROXY protocol on both
//! sides of Weirgate, and curl and OpenSSL reach two different TLS servers through it by name.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use weirgate_tests::on_each_driver;
use weirgate_tests::rig::{
    Config, Gate, Namespace, Process, RigError, Topology, Weirgate, can_run, take_turn,
    temporary_directory, wait_until,
};

on_each_driver!(headers_pass_from_others_to_others, names_lead_to_servers;
    smoltcp: headers_pass_from_others_to_others, names_lead_to_servers);

const PATIENCE: Duration = Duration::from_secs(20);

/// Namespaces, and Weirgate between them; other programs are started by the tests.
struct Rig {
    weirgate: Weirgate,
    topology: Topology,
    directory: tempfile::TempDir,
    _turn: fs::File,
}

impl Rig {
    /// `None`, with a word why, if it cannot run here. `more` is added to the configuration.
    fn start(config: &Config, more: &str) -> Option<Self> {
        if !can_run() {
            return None;
        }
        let program = match Weirgate::program() {
            Ok(program) => program,
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        let turn = take_turn().unwrap();
        let directory = temporary_directory().unwrap();
        let topology = Topology::new(Gate::Bare, config.driver().queues()).unwrap();
        let config = config.to_toml(topology.gate.name());
        // Keys about the engine stand in the first listener; those that are added get the same.
        let engine = config.lines().find(|line| line.starts_with("engine = "));
        let more = more.replace("ENGINE", engine.unwrap_or_default());
        let text = format!("{config}\n{more}");
        let weirgate =
            Weirgate::start_with(&program, &topology.gate, &text, directory.path()).unwrap();
        Some(Self {
            weirgate,
            topology,
            directory,
            _turn: turn,
        })
    }

    /// Starts a program with a configuration file, and waits until it listens on all of `ports`.
    fn run(
        &self,
        namespace: &Namespace,
        name: &str,
        command: &str,
        config: &str,
        ports: &[u16],
    ) -> Process {
        let directory = self.directory.path().join(name);
        fs::create_dir_all(&directory).unwrap();
        let place = |text: &str| text.replace("DIR", &directory.display().to_string());
        fs::write(directory.join("config"), place(config)).unwrap();
        let command = place(command);
        let mut words = command.split_whitespace();
        let mut command = namespace.command(words.next().unwrap());
        command.args(words);
        let mut process = Process::start(&mut command, &directory.join("log")).unwrap();
        process
            .wait_until_ready(PATIENCE, |_| {
                ports.iter().all(|port| is_listening(namespace, *port))
            })
            .unwrap();
        process
    }

    /// Waits for a line of the log with all of these.
    fn wait_for_line(&self, parts: &[&str]) -> Result<(), RigError> {
        wait_until(&format!("a line with {parts:?}"), PATIENCE, || {
            let log = self.weirgate.process().log();
            let found = log
                .lines()
                .any(|line| parts.iter().all(|part| line.contains(part)));
            Ok(found)
        })
    }
}

fn is_listening(namespace: &Namespace, port: u16) -> bool {
    let query = format!("ss --listening --tcp --numeric --no-header sport = :{port}");
    namespace
        .exec(&query)
        .is_ok_and(|sockets| !sockets.is_empty())
}

/// Runs a command line, split at spaces, to its end, whatever that is.
fn output(namespace: &Namespace, command_line: &str) -> Output {
    let mut words = command_line.split_whitespace();
    let mut command = namespace.command(words.next().unwrap());
    command.args(words).output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

const NGINX: &str = "nginx -c DIR/config -p DIR -e DIR/error.log";
const HAPROXY: &str = "haproxy -db -f DIR/config";

/// nginx that answers what its PROXY header said.
const NGINX_RECEIVES: &str = r#"
daemon off; user root; worker_processes 1; pid DIR/pid;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    server {
        listen 10.64.1.2:8081 proxy_protocol;
        listen [fd64:1::2]:8081 proxy_protocol;
        location / { return 200 "nginx $proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port\n"; }
    }
}
"#;

/// HAProxy that does the same; it also knows what TLVs said.
const HAPROXY_RECEIVES: &str = r#"
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend receives
    bind 10.64.1.2:8082 accept-proxy
    bind fd64:1::2:8082 accept-proxy
    http-request return status 200 content-type text/plain lf-string "haproxy %[src] %[src_port] %[dst] %[dst_port] %[fc_pp_unique_id]\n"
"#;

/// HAProxy beside the client: it speaks for those who connect to it on loopback.
const HAPROXY_SENDS: &str = r"
defaults
    mode tcp
    timeout client 10s
    timeout server 10s
    timeout connect 10s
listen v1
    bind 127.0.0.1:9001
    server weirgate 10.64.0.1:8083 send-proxy
listen v2
    bind 127.0.0.1:9002
    server weirgate 10.64.0.1:8084 send-proxy-v2 proxy-v2-options crc32c,unique-id
listen v2v6
    bind ::1:9002
    server weirgate fd64::1:8084 send-proxy-v2
";

/// nginx beside the client.
const NGINX_SENDS: &str = r"
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; worker_processes 1; pid DIR/pid;
events {}
stream {
    server { listen 127.0.0.1:9003; proxy_pass 10.64.0.1:8083; proxy_protocol on; }
    server { listen [::1]:9003; proxy_pass [fd64::1]:8083; proxy_protocol on; }
}
";

const RELAYING: &str = r#"
[[listener]]
name = "from-others"
addresses = ["10.64.0.1:8083", "[fd64::1]:8083"]
backend_group = "nginx-v1"
proxy_protocol = "required"
proxy_trusted = ["10.64.0.2/32", "fd64::2/128"]
ENGINE
[[listener]]
name = "from-others-v2"
addresses = ["10.64.0.1:8084", "[fd64::1]:8084"]
backend_group = "haproxy-v2"
proxy_protocol = "required"
proxy_trusted = ["10.64.0.0/24", "fd64::/64"]
ENGINE
[[listener]]
name = "from-clients"
addresses = ["10.64.0.1:8085", "[fd64::1]:8085"]
backend_group = "nginx-v2"
ENGINE
[[backend_group]]
name = "nginx-v1"
proxy_protocol = "v1"
ENGINE
[[backend_group.backend]]
address = "10.64.1.2:8081"
[[backend_group]]
name = "nginx-v2"
proxy_protocol = "v2"
ENGINE
[[backend_group.backend]]
address = "10.64.1.2:8081"
[[backend_group]]
name = "haproxy-v2"
proxy_protocol = "v2"
proxy_tlvs = ["crc32c", "unique_id", "alpn", "authority"]
ENGINE
[[backend_group.backend]]
address = "[fd64:1::2]:8082"
"#;

/// What the server says whom it was asked by.
fn asked_by(namespace: &Namespace, url: &str) -> String {
    let fetched = output(
        namespace,
        &format!("curl --silent --show-error --max-time 10 {url}"),
    );
    text(&fetched)
}

fn headers_pass_from_others_to_others(config: Config) {
    let Some(rig) = Rig::start(&config, RELAYING) else {
        return;
    };
    let (client, server) = (&rig.topology.client, &rig.topology.server);
    let _nginx = rig.run(server, "nginx-receives", NGINX, NGINX_RECEIVES, &[8081]);
    let _haproxy = rig.run(
        server,
        "haproxy-receives",
        HAPROXY,
        HAPROXY_RECEIVES,
        &[8082],
    );
    let _before = rig.run(
        client,
        "haproxy-sends",
        HAPROXY,
        HAPROXY_SENDS,
        &[9001, 9002],
    );
    let _also = rig.run(client, "nginx-sends", NGINX, NGINX_SENDS, &[9003]);
    // Who is asked, and the first and the last words of the answer; between them is the port.
    let cases = [
        (
            "http://127.0.0.1:9001/",
            "nginx 127.0.0.1 ",
            " 127.0.0.1 9001\n",
        ),
        (
            "http://127.0.0.1:9003/",
            "nginx 127.0.0.1 ",
            " 127.0.0.1 9003\n",
        ),
        ("http://[::1]:9003/", "nginx ::1 ", " ::1 9003\n"),
        (
            "http://10.64.0.1:8085/",
            "nginx 10.64.0.2 ",
            " 10.64.0.1 8085\n",
        ),
        (
            "http://[fd64::1]:8085/",
            "nginx fd64::2 ",
            " fd64::1 8085\n",
        ),
        ("http://127.0.0.1:9002/", "haproxy 127.0.0.1 ", ""),
        ("http://[::1]:9002/", "haproxy ::1 ", ""),
    ];
    for (url, first, last) in cases {
        let answer = asked_by(client, url);
        assert!(
            answer.starts_with(first) && answer.ends_with(last),
            "{url}: {answer}"
        );
        if last.is_empty() {
            let words: Vec<_> = answer.split_whitespace().collect();
            assert_eq!(
                (words.len(), words[4], words[5].len()),
                (6, "9002", 32),
                "{answer}"
            );
            rig.wait_for_line(&["unique_id=", words[5], words[2]])
                .unwrap();
        }
    }
    rig.wait_for_line(&[
        "client=127.0.0.1:",
        "peer=10.64.0.2:",
        "listener=\"from-others\"",
    ])
    .unwrap();
    // Somebody trusted who does not say who the client is.
    let answer = asked_by(client, "http://10.64.0.1:8083/");
    assert!(answer.contains("reset"), "{answer}");
    rig.wait_for_line(&["listener=\"from-others\"", "code=IP"])
        .unwrap();
}

const ROUTING: &str = r#"
[[listener]]
name = "tls"
addresses = ["10.64.0.1:443", "[fd64::1]:443"]
backend_group = "openssl"
tls = "passthrough"
sni_strict = true
ENGINE
[[listener.route]]
sni = ["a.example"]
backend_group = "openssl"
[[listener.route]]
sni = ["*.example"]
backend_group = "nginx-tls"
[[backend_group]]
name = "openssl"
ENGINE
[[backend_group.backend]]
address = "10.64.1.2:8443"
[[backend_group]]
name = "nginx-tls"
proxy_protocol = "v2"
proxy_tlvs = ["authority", "alpn"]
ENGINE
[[backend_group.backend]]
address = "[fd64:1::2]:8444"
"#;

const NGINX_TLS: &str = r#"
daemon off; user root; worker_processes 1; pid DIR/pid;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    server {
        listen [fd64:1::2]:8444 ssl proxy_protocol;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate DIR/../cert.pem; ssl_certificate_key DIR/../key.pem;
        location / { return 200 "nginx $ssl_server_name $ssl_protocol $proxy_protocol_addr\n"; }
    }
}
"#;

/// A certificate for all names of the test, by OpenSSL itself.
fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=example", "-days", "2"])
        .args(["-addext", "subjectAltName=DNS:a.example,DNS:b.example"])
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
}

fn names_lead_to_servers(config: Config) {
    let Some(rig) = Rig::start(&config, ROUTING) else {
        return;
    };
    let (client, server) = (&rig.topology.client, &rig.topology.server);
    make_certificate(rig.directory.path());
    let s_server = "openssl s_server -accept 8443 -www -cert DIR/../cert.pem -key DIR/../key.pem";
    let _openssl = rig.run(server, "openssl", s_server, "", &[8443]);
    let _nginx = rig.run(server, "nginx-tls", NGINX, NGINX_TLS, &[8444]);
    let certificate = rig.directory.path().join("cert.pem").display().to_string();
    for (gate, peer) in [("10.64.0.1", "10.64.0.2"), ("[fd64::1]", "fd64::2")] {
        let fetch = |name: &str, options: &str| {
            let command = format!(
                "curl --silent --show-error --max-time 10 --cacert {certificate} \
                 --resolve {name}:443:{gate} {options} https://{name}/"
            );
            text(&output(client, &command))
        };
        for version in ["--tlsv1.3", "--tlsv1.2 --tls-max 1.2"] {
            let answer = fetch("a.example", version);
            assert!(answer.contains("s_server"), "{gate} {version}: {answer}");
            let answer = fetch("b.example", version);
            let expected = format!(
                "nginx b.example TLSv1.{}",
                if version == "--tlsv1.3" { 3 } else { 2 }
            );
            assert_eq!(answer, format!("{expected} {peer}\n"), "{gate}");
        }
        let connect = |options: &str| {
            let command = format!(
                "openssl s_client -connect {gate}:443 -CAfile {certificate} -verify_return_error \
                 -brief {options}"
            );
            text(&output(client, &command))
        };
        // A list of groups and a ticket make the ClientHello long; the others cut it into records.
        for options in ["", "-max_send_frag 512", "-alpn h2,http/1.1", "-tls1_2"] {
            let said = connect(&format!("-servername b.example {options}"));
            assert!(
                said.contains("Verification: OK"),
                "{gate} {options}: {said}"
            );
        }
        let said = connect("-servername other.test");
        assert!(said.contains("unrecognized name"), "{gate}: {said}");
        let said = connect("-noservername");
        assert!(said.contains("unrecognized name"), "{gate}: {said}");
    }
    rig.wait_for_line(&[
        "sni=\"b.example\"",
        "alpn=h2,http/1.1",
        "route=\"*.example\"",
        "group=\"nginx-tls\"",
    ])
    .unwrap();
    rig.wait_for_line(&["sni=\"other.test\"", "code=DP"])
        .unwrap();
    let plain = asked_by(client, "http://10.64.0.1:443/");
    assert!(plain.contains("reset"), "{plain}");
    rig.wait_for_line(&["listener=\"tls\"", "code=IP", "invalid ClientHello"])
        .unwrap();
}
