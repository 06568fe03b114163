import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { get, signOut } from "./api";
import icon from "./icon.svg";
import { store, type ClusterWarnings } from "./feed/store";
import { useStore } from "./feed/use-store";
import { Text } from "./parts/basics";
import { themeChanged } from "./picture/palette";
import { LastCommand } from "./parts/last-command";
import { Later } from "./parts/later";
import { Search } from "./parts/search";
import { Overview } from "./pages/overview";
import { CONTENT, Link, useAddress, useFocusOnPage } from "./router";
import type { Session } from "./session";
import { timeText, visible } from "./text";
import { applyTheme, savedTheme, saveTheme } from "./theme";

const WARNINGS_FIRST_MS = 1000, WARNINGS_AGAIN_MS = 15_000;

const loadOtherPages = () => import("./pages/other-pages");
/** Well before somebody has found the link to one, and after the first picture. */
const OTHER_PAGES_MS = 1000;

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
  useEffect(() => {
    const load = (): void => {
      if (document.hidden) return;
      get<Record<string, string[]>>("/api/node-warnings").then((found) => store.setWarnings(found), () => undefined);
      get<ClusterWarnings>("/api/cluster-warnings").then((found) => store.setClusterWarnings(found), () => undefined);
    };
    // After the first picture: managers compare all nodes for it.
    const first = setTimeout(load, WARNINGS_FIRST_MS), timer = setInterval(load, WARNINGS_AGAIN_MS);
    return () => {
      clearTimeout(first);
      clearInterval(timer);
    };
  }, []);
  useLayoutEffect(() => {
    const key = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setSearching(true);
      }
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => void loadOtherPages().catch(() => undefined), OTHER_PAGES_MS);
    return () => clearTimeout(timer);
  }, []);
  const page = path[0] ?? "";
  useFocusOnPage(path.join("/"));
  useEffect(() => setMenu(false), [path.join("/")]);
  useEffect(() => {
    document.title = `${(path[1] && visible(path[1])) || PAGES.find(([each]) => each === page)?.[1] || "Shoal"} · Shoal`;
  }, [path.join("/")]);
  return (
    <>
      <a class="skip" href={`#${CONTENT}`}>Skip to the content</a>
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
        <main id={CONTENT} tabIndex={-1}>{page ? <Later load={loadOtherPages} props={{ path }} /> : <Overview />}</main>
        <LastCommand />
      </div>
      {searching && <Search close={() => setSearching(false)} />}
    </>
  );
}

/** Says when what is shown may be old, and nothing else. */
function Connection() {
  const { problem, complete, staleSince } = useStore("connection");
  if (problem) return <p class="banner" role="alert"><Text of={problem} />{complete && ". What is shown may be old."}</p>;
  if (!staleSince) return null;
  return <p class="banner" role="alert">The manager has been disconnected from etcd since {timeText(staleSince)}. What is shown may be old, and changes fail until it is back.</p>;
}

const THEMES = ["system", "light", "dark"] as const;

function Theme() {
  const [theme, setTheme] = useState(savedTheme);
  const choose = (chosen: string): void => {
    saveTheme(chosen);
    applyTheme(chosen);
    themeChanged();
    setTheme(chosen);
  };
  return (
    <select aria-label="Theme" value={theme} onChange={(event) => choose(event.currentTarget.value)}>
      {THEMES.map((each) => <option key={each} value={each}>{each === "system" ? "As the system" : each === "light" ? "Light" : "Dark"}</option>)}
    </select>
  );
}
