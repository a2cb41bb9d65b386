//! containerd's CRI plugin drives the runtime, as on a node of Kubernetes. The test does
//! what a kubelet does for a pod: it makes a sandbox, and containers in it.

use std::path::Path;

use kiste_tests::eventually;

use crate::engines::cri::Client;
use crate::engines::cri::messages::*;
use crate::engines::{Place, Runtime, containerd, image};

/// Returns containerd's configuration of these runtimes, as chapter "Using it for real"
/// shows it.
fn config(runtimes: &[Runtime]) -> String {
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    // A root without CAP_SYS_RESOURCE may not lower oom_score_adj.
    let mut config = format!(
        "[{cri}]\nsandbox_image = \"{}\"\nrestrict_oom_score_adj = true\n\
         [{cri}.containerd]\ndefault_runtime_name = \"kiste\"\n",
        image::PAUSE
    );
    for Runtime { name, path } in runtimes {
        let (runtime, path) =
            (format!("{cri}.containerd.runtimes.{name}"), path.display());
        config += &format!(
            "[{runtime}]\nruntime_type = \"io.containerd.runc.v2\"\n\
             [{runtime}.options]\nBinaryName = \"{path}\"\n"
        );
    }
    config
}

#[test]
fn a_kubelet_runs_a_pod() {
    let Some(place) = Place::with(&containerd::TOOLS) else { return };
    let runtimes = place.runtimes();
    containerd::start(&place, &config(&runtimes));
    containerd::import(&place, "k8s.io");
    let client = Client::connect(Path::new(&containerd::address(&place)));
    wait_for_image(&client, image::PAUSE);
    wait_for_image(&client, image::NAME);
    let outputs: Vec<_> = runtimes
        .iter()
        .map(|runtime| Pod::run(&client, &place, runtime.name).live_and_end())
        .collect();
    assert_eq!(outputs.last(), outputs.first(), "ours, and the same with runc");
}

/// Waits until the plugin has heard of an image.
fn wait_for_image(client: &Client, name: &str) {
    let image = Some(ImageSpec { image: name.into() });
    let request = ImageStatusRequest { image };
    let known = eventually(|| {
        let answer: ImageStatusResponse =
            client.call("ImageService/ImageStatus", &request).unwrap();
        answer.image
    });
    assert!(known.is_some(), "the plugin knows the image");
}

/// A pod, and the client that drives it.
struct Pod<'a> {
    client: &'a Client,
    config: PodSandboxConfig,
    id: String,
}

impl<'a> Pod<'a> {
    /// Makes the sandbox of a pod.
    fn run(client: &'a Client, place: &Place, runtime: &str) -> Self {
        let namespaces = NamespaceOption { network: NODE, pid: CONTAINER, ipc: POD };
        let security =
            LinuxSandboxSecurityContext { namespace_options: Some(namespaces) };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: format!("pod-{runtime}"),
                uid: format!("uid-{runtime}"),
                namespace: "default".into(),
            }),
            hostname: String::new(),
            log_directory: place.path("logs"),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: place.cgroup(),
                security_context: Some(security),
            }),
        };
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: runtime.into(),
        };
        let id: Id =
            client.call("RuntimeService/RunPodSandbox", &request).unwrap_or_else(
                |refusal| panic!("RunPodSandbox with {runtime}: {refusal}"),
            );
        Pod { client, config, id: id.id }
    }

    /// Runs containers in the pod and removes it. Returns the outputs of commands.
    fn live_and_end(&self) -> Vec<String> {
        let id = self.create("first", &["sh", "-c", TRAP]);
        self.call("StartContainer", &Id { id: id.clone() });
        assert_eq!(self.wait_for(&id, RUNNING).exit_code, 0);
        let mut outputs = vec![self.exec(&id, SHOW), self.exec(&id, "exit 9")];
        let update = UpdateContainerResourcesRequest {
            container_id: id.clone(),
            linux: Some(LinuxContainerResources {
                cpu_shares: 0,
                memory_limit_in_bytes: 96 << 20,
            }),
        };
        self.call("UpdateContainerResources", &update);
        outputs.push(self.exec(&id, LIMIT));
        assert!(outputs[2].contains("100663296"), "{outputs:?}");
        let stop = StopContainerRequest { container_id: id.clone(), timeout: 20 };
        self.call("StopContainer", &stop);
        assert_eq!(self.wait_for(&id, EXITED).exit_code, 5, "it heard SIGTERM");
        self.call("RemoveContainer", &Id { id });
        self.end_by_itself();
        self.call("StopPodSandbox", &Id { id: self.id.clone() });
        self.call("RemovePodSandbox", &Id { id: self.id.clone() });
        outputs
    }

    /// Runs a container whose command ends without being told to, and one whose command
    /// does not exist.
    fn end_by_itself(&self) {
        let id = self.create("second", &["sh", "-c", "exit 7"]);
        self.call("StartContainer", &Id { id: id.clone() });
        assert_eq!(self.wait_for(&id, EXITED).exit_code, 7);
        self.call("RemoveContainer", &Id { id });
        let id = self.create("third", &["nosuch"]);
        let started: Result<Nothing, _> =
            self.client.call("RuntimeService/StartContainer", &Id { id: id.clone() });
        assert!(started.unwrap_err().contains("nosuch"));
        self.call("RemoveContainer", &Id { id });
    }

    fn create(&self, name: &str, command: &[&str]) -> String {
        let namespaces = NamespaceOption { network: NODE, pid: CONTAINER, ipc: POD };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into() }),
            image: Some(ImageSpec { image: image::NAME.into() }),
            command: command.iter().map(|word| word.to_string()).collect(),
            envs: vec![KeyValue { key: "A".into(), value: "B".into() }],
            log_path: format!("{name}.log"),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    cpu_shares: 512,
                    memory_limit_in_bytes: 64 << 20,
                }),
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: Some(namespaces),
                    run_as_username: "root".into(),
                    readonly_rootfs: true,
                    no_new_privs: true,
                }),
            }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let id: Id = self
            .client
            .call("RuntimeService/CreateContainer", &request)
            .unwrap_or_else(|refusal| panic!("CreateContainer {name}: {refusal}"));
        id.id
    }

    /// Calls a method whose answer has no content.
    #[track_caller]
    fn call(&self, method: &str, request: &impl prost::Message) {
        let answer: Result<Nothing, _> =
            self.client.call(&format!("RuntimeService/{method}"), request);
        answer.unwrap_or_else(|refusal| panic!("{method}: {refusal}"));
    }

    /// Runs a shell script in a container. Returns its exit code and its output.
    fn exec(&self, id: &str, script: &str) -> String {
        let cmd = ["sh", "-c", script].map(String::from).into();
        let request = ExecSyncRequest { container_id: id.into(), cmd, timeout: 20 };
        let answer: ExecSyncResponse = self
            .client
            .call("RuntimeService/ExecSync", &request)
            .unwrap_or_else(|refusal| panic!("ExecSync: {refusal}"));
        let out = String::from_utf8_lossy(&answer.stdout).into_owned();
        let err = String::from_utf8_lossy(&answer.stderr).into_owned();
        format!("{}\n{out}{err}", answer.exit_code)
    }

    /// Waits until a container is in this state.
    #[track_caller]
    fn wait_for(&self, id: &str, state: i32) -> ContainerStatus {
        let status = || {
            let answer: ContainerStatusResponse = self
                .client
                .call("RuntimeService/ContainerStatus", &Id { id: id.into() })
                .unwrap_or_else(|refusal| panic!("ContainerStatus: {refusal}"));
            answer.status.expect("an answer has a status")
        };
        let reached = eventually(|| Some(status()).filter(|it| it.state == state));
        reached.unwrap_or_else(|| panic!("state {state}: {:?}", status()))
    }
}

/// A command that ends when it is told to.
const TRAP: &str = "trap 'exit 5' TERM; while :; do sleep 0.05; done";

/// Shows the rights and limits of a process.
const SHOW: &str = "id; grep -E '^(Cap|NoNew|Seccomp:|Groups|Uid)' /proc/self/status; \
    echo $A $FROM; touch /x; cat /proc/1/comm; awk '{print $5, substr($6, 1, 2)}' /proc/self/mountinfo | grep -v cgroup | sort";

/// The memory limit, on v1 or on v2.
const LIMIT: &str = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2> /dev/null; true";
