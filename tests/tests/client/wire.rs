//! A tap on the wire: forwards a connection to the server and writes down the type of each message the client
//! sends, so that a test can count what has to be answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

pub struct Wire {
    port: u16,
    sent: Arc<Mutex<String>>,
}

impl Wire {
    /// Opens a tap for one connection to the server of `config`.
    pub fn tap(config: &Config) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(String::new()));
        let (config, log) = (config.clone(), Arc::clone(&sent));
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            forward(client, &config, &log);
        });
        Wire { port, sent }
    }

    /// The way to the server through the tap.
    pub fn config(&self, direct: &Config) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port);
        config.user(direct.get_user().unwrap()).dbname(direct.get_dbname().unwrap());
        if let Some(password) = direct.get_password() {
            config.password(password);
        }
        config
    }

    /// The types of the messages sent since the last call: `Q` a simple query; `P`, `B`, `E`, `S`... extended.
    pub fn sent(&self) -> String {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

fn forward(client: TcpStream, config: &Config, log: &Mutex<String>) {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    client.set_nodelay(true).unwrap();
    match &config.get_hosts()[0] {
        Host::Tcp(host) => {
            let server = TcpStream::connect((host.as_str(), port)).unwrap();
            server.set_nodelay(true).unwrap();
            both_ways(client, (server.try_clone().unwrap(), server), log);
        }
        Host::Unix(folder) => {
            let server = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).unwrap();
            both_ways(client, (server.try_clone().unwrap(), server), log);
        }
    }
}

fn both_ways<S>(mut client: TcpStream, server: (S, S), log: &Mutex<String>)
where
    S: Read + Write + Send + 'static,
{
    let (mut answers, mut requests) = server;
    let mut back = client.try_clone().unwrap();
    thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let mut is_startup = true;
    while let Ok(message) = read_message(&mut client, is_startup) {
        if !is_startup {
            log.lock().unwrap().push(message[0] as char);
        }
        is_startup = false;
        requests.write_all(&message).unwrap();
    }
}

/// One message: a type (which the startup message lacks), a length that counts itself, a body.
fn read_message(client: &mut TcpStream, is_startup: bool) -> std::io::Result<Vec<u8>> {
    let header = if is_startup { 4 } else { 5 };
    let mut message = vec![0; header];
    client.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[header - 4..].try_into().unwrap()) as usize;
    message.resize(header - 4 + length, 0);
    client.read_exact(&mut message[header..])?;
    Ok(message)
}
