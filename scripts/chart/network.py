"""What network policies let through, worked out as a cluster does."""

import ipaddress

from render import COMPONENT, title
from structure import matches

PUBLIC = ("203.0.114.7", "2a00:1450:4001::7")
PRIVATE = ("10.200.0.1", "172.20.1.1", "192.168.250.1", "100.80.0.1", "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "fe80::1")


def check(rendered):
    policies = rendered.of("NetworkPolicy")
    if not rendered.values["networkPolicy"]["enabled"]:
        if policies:
            yield "there are network policies although there should be none"
        return
    whole = [policy["spec"] for policy in policies if COMPONENT not in policy["spec"]["podSelector"]["matchLabels"]]
    if [(sorted(spec["policyTypes"]), spec.keys() & {"ingress", "egress"}) for spec in whole] != [(["Egress", "Ingress"], set())]:
        yield "no policy denies everything that no other allows"
    for policy in policies:
        yield from blocks(policy)
    for document, metadata, spec in rendered.pods():
        mine = [p for p in policies if matches(p["spec"]["podSelector"]["matchLabels"], metadata["labels"])]
        named = lambda what, where=title(document): f"{where}: {what}"
        yield from map(named, of_pod(rendered, document, metadata, spec, mine))


def of_pod(rendered, document, metadata, spec, policies):
    role = metadata["labels"][COMPONENT]
    for direction in ("Ingress", "Egress"):
        if not any(direction in policy["spec"]["policyTypes"] for policy in policies):
            yield f"nothing bounds its {direction.lower()}"
    out = [rule for policy in policies for rule in policy["spec"].get("egress", [])]
    into = [rule for policy in policies for rule in policy["spec"].get("ingress", [])]
    yield from internet(rendered, role, out)
    yield from services(rendered, role, spec, out)
    if document["kind"] == "Deployment":
        yield from visitors(rendered, role, into)
    elif into:
        yield "somebody may speak to it, and it has nothing to say"


def blocks(policy):
    """Kubernetes takes an except only from the network that it lies in."""
    spec = policy["spec"]
    for rule in spec.get("egress", []) + spec.get("ingress", []):
        for peer in rule.get("to", []) + rule.get("from", []):
            block = peer.get("ipBlock")
            if block is None:
                continue
            whole = ipaddress.ip_network(block["cidr"])
            for part in map(ipaddress.ip_network, block.get("except", [])):
                if part.version != whole.version or not part.subnet_of(whole):
                    yield f"{title(policy)}: {part} does not lie in {whole}"


def reaches(rule, address, port):
    ports = [p["port"] for p in rule.get("ports", []) if p.get("protocol", "TCP") == "TCP"]
    if rule.get("ports") and port not in ports:
        return False
    if not rule.get("to"):
        return True
    return any(covers(peer["ipBlock"], address) for peer in rule["to"] if "ipBlock" in peer)


def covers(block, address):
    address = ipaddress.ip_address(address)
    inside = lambda cidr: address in ipaddress.ip_network(cidr)
    return inside(block["cidr"]) and not any(map(inside, block.get("except", [])))


def internet(rendered, role, rules):
    for address in PUBLIC:
        for port in (80, 443):
            if any(reaches(rule, address, port) for rule in rules) != (role == "worker"):
                yield f"{'it can not' if role == 'worker' else 'it can'} reach {address} at port {port}"
    wide = [rule for rule in rules if not rule.get("to")]
    if wide:
        yield "a rule lets it reach everything"
    for address in PRIVATE:
        if any(reaches(rule, address, 80) for rule in rules):
            yield f"it can reach {address} at port 80"
    if role == "worker":
        config, feeds = rendered.values["worker"]["config"], rendered.values["networkPolicy"]["feeds"]
        for network in filter(None, map(str.strip, config.get("FANFARE_ALLOW_NETWORKS", "").split(","))):
            inside = str(ipaddress.ip_network(network)[0])
            if not any(reaches(rule, inside, 443) for rule in rules):
                yield f"its providers live in {network}, and it can not reach them"
        for network in feeds["alsoExcept"]:
            if any(reaches(rule, str(ipaddress.ip_network(network)[1]), 443) for rule in rules):
                yield f"it can reach {network}, which values except"


def services(rendered, role, spec, rules):
    policy = rendered.values["networkPolicy"]
    command = spec["containers"][0]["args"][0]
    wanted = {"dns"} | ({"database"} if command != "healthcheck" else set())
    if command in ("scheduler", "worker", "doctor"):
        wanted.add("redis")
    cached = command in ("api", "doctor") and rendered.values["secrets"]["cacheUrl"]["key"]
    if cached:
        wanted.add("cache")
    if rendered.values["otel"]["endpoint"] and command not in ("migrate", "healthcheck"):
        wanted.add("otlp")
    for name in sorted(wanted):
        if not allows(rules, policy[name]["to"], policy[name]["ports"], ("UDP", "TCP") if name == "dns" else ("TCP",)):
            yield f"it can not reach the {name}"
    if command in ("api", "migrate") and not cached and allows(rules, policy["redis"]["to"], policy["redis"]["ports"], ("TCP",)):
        yield "it can reach the redis, which is none of its own"


def allows(rules, peers, ports, protocols):
    wanted = {(protocol, port) for protocol in protocols for port in ports}
    return any(
        rule.get("to") == peers and wanted <= {(p.get("protocol", "TCP"), p["port"]) for p in rule["ports"]}
        for rule in rules
    )


def visitors(rendered, role, rules):
    policy = rendered.values["networkPolicy"]
    for rule in rules:
        if not rule.get("from") or not rule.get("ports"):
            yield "anybody may speak to it"
            return
    peers = lambda port: [
        peer for rule in rules if port in [p["port"] for p in rule["ports"]] for peer in rule["from"]
    ]
    if peers("observe") != policy["prometheus"]["from"]:
        yield "others than Prometheus may read its metrics, or not even it"
    clients = [peer for peer in peers("http") if peer.get("podSelector", {}).get("matchLabels", {}).get(COMPONENT) != "test"]
    if clients != (policy["clients"]["from"] if role == "api" else []):
        yield "not just its clients may ask it"
    if role == "api" and len(clients) == len(peers("http")):
        yield "its test may not ask it"
    if {p["port"] for rule in rules for p in rule["ports"]} - {"observe", "http"}:
        yield "it is open at another port"
