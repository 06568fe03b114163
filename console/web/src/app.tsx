import { useEffect, useState } from "preact/hooks";
import { get, signOut } from "./api";
import icon from "./icon.svg";
import { connect } from "./feed/connection";
import { store } from "./feed/store";
import { useStore } from "./feed/use-store";
import { Text } from "./parts/basics";
import { themeChanged } from "./picture/palette";
import { LastCommand } from "./parts/last-command";
import { Later } from "./parts/later";
import { Search } from "./parts/search";
import { ContainerPage } from "./pages/container";
import { CreateService } from "./pages/create-service";
import { Events } from "./pages/events";
import { FilePage } from "./pages/file";
import { ImagePage } from "./pages/image";
import { Health } from "./pages/health";
import { Jobs } from "./pages/jobs";
import { Logs } from "./pages/logs";
import { KINDS, Objects } from "./pages/objects";
import { NetworkPage } from "./pages/network";
import { NodePage, Nodes } from "./pages/nodes";
import { Overview } from "./pages/overview";
import { Run } from "./pages/run";
import { Service } from "./pages/service";
import { Services } from "./pages/services";
import { Deploy, StackPage, Stacks } from "./pages/stacks";
import { TaskPage } from "./pages/task";
import { VolumePage } from "./pages/volume";
import { Link, useAddress } from "./router";
import { shellWord, visible } from "./text";

export interface Session {
  user: string;
  role: string;
  until: number;
  context: string;
  cluster: string;
  version: string;
}

const WARNINGS_FIRST_MS = 1000, WARNINGS_AGAIN_MS = 15_000;

const GROUPS: readonly { title: string; pages: readonly (readonly [page: string, title: string])[] }[] = [
  { title: "Cluster", pages: [["", "Overview"], ["nodes", "Nodes"], ["health", "Health"], ["events", "Events"]] },
  { title: "Workloads", pages: [["services", "Services"], ["stacks", "Stacks"], ["jobs", "Jobs"], ["containers", "Containers"]] },
  {
    title: "Resources",
    pages: [["images", "Images"], ["networks", "Networks"], ["volumes", "Volumes"], ["secrets", "Secrets"], ["configs", "Configs"]],
  },
];
const PAGES = GROUPS.flatMap((each) => each.pages);
/** Whose page of the menu another page belongs to. */
const UNDER: Record<string, string> = { deploy: "stacks", logs: "stacks", tasks: "services", terminal: "services", run: "containers", "create-service": "services" };

export function App({ session, ended }: { session: Session; ended: () => void }) {
  const { path } = useAddress();
  const [searching, setSearching] = useState(false);
  const [menu, setMenu] = useState(false);
  useEffect(() => connect(store, ended), []);
  useEffect(() => {
    const load = (): void => {
      if (!document.hidden) get<Record<string, string[]>>("/api/node-warnings").then((found) => store.setWarnings(found), () => undefined);
    };
    // After the first picture: managers compare all nodes for it.
    const first = setTimeout(load, WARNINGS_FIRST_MS), timer = setInterval(load, WARNINGS_AGAIN_MS);
    return () => {
      clearTimeout(first);
      clearInterval(timer);
    };
  }, []);
  useEffect(() => {
    const key = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearching(true);
      }
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, []);
  const page = path[0] ?? "";
  useEffect(() => setMenu(false), [path.join("/")]);
  useEffect(() => {
    document.title = `${(path[1] && visible(path[1])) || PAGES.find(([each]) => each === page)?.[1] || "Shoal"} · Shoal`;
  }, [path.join("/")]);
  return (
    <>
      <a class="skip" href="#content">Skip to the content</a>
      <header class={menu ? "open" : ""}>
        <div class="bar">
          <Link to="/" class="brand"><img src={icon} alt="" />Shoal</Link>
          <button type="button" class="search-button" onClick={() => setSearching(true)} aria-keyshortcuts="Control+K">
            Search <kbd>Ctrl K</kbd>
          </button>
          <button type="button" class="menu-button" aria-expanded={menu} aria-controls="menu" onClick={() => setMenu(!menu)}>Menu</button>
        </div>
        <div id="menu" class="menu">
          <nav aria-label="Pages">
            {GROUPS.map((group) => (
              <div key={group.title} class="group" role="group" aria-label={group.title}>
                <span class="quiet" aria-hidden="true">{group.title}</span>
                {group.pages.map(([each, title]) => (
                  <Link key={each} to={`/${each}`} current={each === (UNDER[page] ?? page)}>{title}</Link>
                ))}
              </div>
            ))}
          </nav>
          <div class="who">
            <span class="quiet"><Text of={`${session.user} at ${session.context}`} /></span>
            <Theme />
            <button type="button" onClick={() => signOut().then(ended, ended)}>Sign out</button>
          </div>
        </div>
      </header>
      <div class="side">
        <Connection />
        <main id="content" tabIndex={-1}>{pageOf(path)}</main>
        <LastCommand />
      </div>
      {searching && <Search close={() => setSearching(false)} />}
    </>
  );
}

function pageOf(path: string[]) {
  const [page, name] = path;
  if (!page) return <Overview />;
  if (page === "services") return name ? <Service name={name} /> : <Services />;
  if (page === "nodes") return name ? <NodePage name={name} /> : <Nodes />;
  if (page === "stacks") return name ? <StackPage name={name} /> : <Stacks />;
  if (page === "deploy") return <Deploy key={name ?? ""} stack={name ?? ""} />;
  if (page === "logs" && name) {
    return (
      <>
        <h1>Logs of <Text of={name} /></h1>
        <Logs query={`stack=${encodeURIComponent(name)}`} line={`shoal stack logs --follow ${shellWord(name)}`} />
      </>
    );
  }
  if (page === "terminal" && name) {
    return <Later key={name} load={() => import("./pages/terminal")} props={{ id: name }} />;
  }
  if (page === "tasks" && name) return <TaskPage key={name} id={name} />;
  if (page === "events") return <Events />;
  if (page === "health") return <Health />;
  if (page === "jobs") return <Jobs />;
  if (page === "run") return <Run />;
  if (page === "create-service") return <CreateService />;
  if (page === "containers" && name) return <ContainerPage key={name} name={name} />;
  if (page === "images" && name) return <ImagePage key={name} name={name} />;
  if (page === "networks" && name) return <NetworkPage key={name} name={name} />;
  if (page === "volumes" && name) return <VolumePage key={name} name={name} />;
  if ((page === "secrets" || page === "configs") && name) return <FilePage key={`${page}/${name}`} kind={page} name={name} />;
  if (page in KINDS) return <Objects key={page} kind={page} />;
  return <><h1>There is no such page</h1><p><Link to="/">Overview</Link></p></>;
}

/** Says when what is shown may be old, and nothing else. */
function Connection() {
  const { problem, complete } = useStore("connection");
  if (!problem) return null;
  return <p class="banner" role="alert"><Text of={problem} />{complete && ". What is shown may be old."}</p>;
}

const THEMES = ["system", "light", "dark"] as const;

export function applyTheme(theme: string): void {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  themeChanged();
}

function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "system");
  const choose = (chosen: string): void => {
    localStorage.setItem("theme", chosen);
    applyTheme(chosen);
    setTheme(chosen);
  };
  return (
    <select aria-label="Theme" value={theme} onChange={(event) => choose(event.currentTarget.value)}>
      {THEMES.map((each) => <option key={each} value={each}>{each === "system" ? "As the system" : each === "light" ? "Light" : "Dark"}</option>)}
    </select>
  );
}
