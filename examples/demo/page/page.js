// Six views of one session. Everything is asked of the apps; the page itself knows no cookie.

const APPS = [
  { path: "flask", name: "Flask", access: "flask.session" },
  { path: "fastapi", name: "FastAPI", access: "request.session" },
  { path: "litestar", name: "Litestar", access: "request.session" },
  { path: "quart", name: "Quart", access: 'request.scope["session"]' },
  { path: "django", name: "Django", access: "request.session" },
  { path: "raw", name: "raw ASGI", access: 'scope["session"]' },
];

const byId = (id) => document.getElementById(id);
const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

// Talking to the apps

async function get(app, route) {
  return answer(app, route, await fetch(`/${app}/${route}`, { cache: "no-store" }));
}

async function post(app, route, body = {}) {
  const response = await fetch(`/${app}/${route}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer(app, route, response);
}

async function answer(app, route, response) {
  if (!response.ok) throw new Error(`/${app}/${route} was answered with ${response.status}.`);
  return response.json();
}

function connect(value) {
  const url = new URL(`/raw/ws?value=${encodeURIComponent(value)}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error("The websocket was refused."));
  });
}

// One change after the other: of two answers at once, the browser keeps the cookie of the last.
let changes = Promise.resolve();

function change(work) {
  changes = changes
    .then(work)
    .then(refresh)
    .catch((error) => say(error.message, false));
  return changes;
}

// What each app sees

const panels = APPS.map(makePanel);

function makePanel(app) {
  const element = copyOf("panel");
  const title = element.querySelector("h2");
  title.textContent = app.name;
  title.id = `in-${app.path}`;
  element.setAttribute("aria-labelledby", title.id);
  element.dataset.app = app.path;
  element.querySelector("header code").textContent = app.access;

  const logOut = element.querySelector(".log-out");
  logOut.ariaLabel = `Log out in ${app.name}`;
  logOut.onclick = () => change(() => post(app.path, "logout"));

  const form = element.querySelector(".set");
  form.elements.key.ariaLabel = `Key to set in ${app.name}`;
  form.elements.value.ariaLabel = `Value to set in ${app.name}`;
  form.querySelector("button").ariaLabel = `Set in ${app.name}`;
  form.onsubmit = (event) => {
    event.preventDefault();
    const body = { key: form.elements.key.value, value: form.elements.value.value };
    change(async () => {
      await post(app.path, "set", body);
      form.reset();
    });
  };

  byId("panels").append(element);
  return { app, element, shown: null };
}

async function refresh() {
  const views = await Promise.all(APPS.map((app) => get(app.path, "session").then(ordered)));
  panels.forEach((panel, index) => show(panel, views[index]));

  const { user, entries } = views[0];
  byId("empty").disabled = entries.length === 0;
  byId("empty").onclick = () => {
    const keys = entries.map((entry) => entry.key);
    change(() => post("flask", "remove", { keys }));
  };
  const alike = new Set(views.map((view) => JSON.stringify(view))).size === 1;
  const keys = entries.length === 1 ? "1 key" : `${entries.length} keys`;
  say(alike ? `All six see the same session: ${keys}.` : "The six do not see the same session.", alike);
  await matchFlaskPage(user);
}

// Keys that are Flask's own come last.
const isInternal = ({ key }) => key.startsWith("_") || key === "csrf_token";

function ordered({ user, entries }) {
  entries = entries.map(({ key, type, value }) => ({ key, type, value }));
  return { user, entries: [...entries.filter((e) => !isInternal(e)), ...entries.filter(isInternal)] };
}

function show(panel, view) {
  const { app, element } = panel;
  const user = element.querySelector(".user");
  user.classList.toggle("known", view.user !== null);
  user.querySelector("span").textContent = view.user === null ? "nobody is logged in" : view.user;
  user.querySelector("button").hidden = view.user === null;

  const before = panel.shown;
  panel.shown = new Map(view.entries.map((entry) => [entry.key, entry.value]));
  element.querySelector(".nothing").hidden = view.entries.length > 0;
  element.querySelector(".entries").replaceChildren(
    ...view.entries.map((entry) => {
      const item = copyOf("entry");
      item.dataset.key = entry.key;
      item.classList.toggle("internal", isInternal(entry));
      item.classList.toggle("changed", before !== null && before.get(entry.key) !== entry.value);
      item.querySelector(".key").textContent = entry.key;
      item.querySelector(".type").textContent = entry.type;
      item.querySelector(".value").textContent = entry.value;
      item.querySelector(".value").title = entry.value;
      const remove = item.querySelector(".remove");
      remove.ariaLabel = `Remove ${entry.key} in ${app.name}`;
      remove.onclick = () => change(() => post(app.path, "remove", { keys: [entry.key] }));
      return item;
    }),
  );
}

function say(text, good) {
  const status = byId("status");
  status.textContent = text;
  status.className = good ? "good" : "bad";
}

// Flask's page, in its frame

const frame = byId("flask-page");

function loadFlaskPage() {
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  frame.contentWindow.location.replace("/flask/");
  return loaded;
}

// Load it again if it was made for another user than the session's.
async function matchFlaskPage(user) {
  const shown = frame.contentDocument.body.dataset.user;
  if (shown !== undefined && shown !== (user ?? "")) await loadFlaskPage();
}

// Its first answer is a change too: it puts a CSRF token into the session. Later, it logs in.
change(loadFlaskPage).then(() => frame.addEventListener("load", () => change(() => {})));

// Another tab may have changed the session.
document.addEventListener("visibilitychange", () => document.hidden || change(() => {}));

// Things to try

byId("flash").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("flash-text").value;
  change(() => post("fastapi", "flash", { text }));
};

byId("read-flashes").onclick = () =>
  change(async () => {
    const { messages } = await post("flask", "flashes");
    byId("flashes").textContent = messages.length ? messages.join(" · ") : "no message";
  });

byId("websocket").onsubmit = (event) => {
  event.preventDefault();
  const value = byId("websocket-value").value;
  change(() => connect(value));
};

byId("types-app").append(...APPS.map((app) => new Option(app.name, app.path)));
byId("types").onsubmit = (event) => {
  event.preventDefault();
  const writer = byId("types-app").value;
  change(() => everyType(writer));
};

async function everyType(writer) {
  const seed = 1 + Math.floor(Math.random() * 1000);
  await post(writer, "types", { seed });
  const answers = await Promise.all(APPS.map((app) => get(app.path, `types?seed=${seed}`)));
  const wrong = APPS.filter((_, index) => Object.keys(answers[index].wrong).length > 0);
  byId("types-read").textContent = wrong.length
    ? `Read otherwise in ${wrong.map((app) => app.name).join(", ")}.`
    : "Read equal, in value and type, in all six.";
}
