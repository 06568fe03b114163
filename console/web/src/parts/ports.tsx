// Published ports, as links where a browser can follow them.

import type { Port } from "../feed/rows";
import type { Store } from "../feed/store";

/** Ports of every node lead to a service or a container: those of the node that this browser most likely reaches. */
export function Ports({ store, ports }: { store: Store; ports: Port[] }) {
  const node = [...store.nodes.values()].find((each) => each.state === "ready" && each.address);
  return (
    <>
      {ports.map((each) => {
        const text = `${each.published || "?"} → ${each.target}/${each.protocol}`;
        const reachable = node && each.published && each.protocol === "tcp" && each.mode === "ingress";
        const host = node?.address.includes(":") ? `[${node.address}]` : node?.address;
        const scheme = each.target === 443 || each.target === 8443 ? "https" : "http";
        return reachable
          ? <a key={text} href={`${scheme}://${host}:${each.published}/`} target="_blank" rel="noopener noreferrer">{text}</a>
          : <span key={text}>{text}</span>;
      })}
    </>
  );
}
