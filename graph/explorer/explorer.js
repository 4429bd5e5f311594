// The explorer of the admin API: an editor, the answer, and the schema. It asks this server alone, and writes what it
// shows as text, never as HTML.
"use strict";

const $ = (id) => document.getElementById(id);
const keyName = "portico-admin-key";
const draftName = "portico-graphql-draft";

const examples = [
  ["Projects and their organizations", `query Projects {
  projects(first: 10) {
    nodes {
      id
      slug
      name
      organizations(first: 10) {
        nodes { id slug label }
        totalCount
      }
    }
    pageInfo { hasNextPage endCursor }
    totalCount
  }
}`, ""],
  ["Create a project", `mutation CreateProject($input: CreateProjectInput!) {
  createProject(input: $input) {
    project { id slug name }
    errors { message code path }
  }
}`, { input: { slug: "my-app", name: "My app" } }],
  ["Create an organization", `mutation CreateOrganization($input: CreateOrganizationInput!) {
  createOrganization(input: $input) {
    organization { id slug label }
    errors { message code path }
  }
}`, { input: { projectId: "", slug: "acme", label: "Acme Inc." } }],
  ["Connect an identity provider", `mutation CreateConnection($input: CreateConnectionInput!) {
  createConnection(input: $input) {
    connection {
      id
      title
      entityId
      certificates { subject notAfter expired }
      spEntityId
      acsUrl
      spMetadataUrl
    }
    clientSecret
    errors { message code path }
  }
}`, { input: { organizationId: "", metadataUrl: "https://idp.example.com/metadata", label: "Acme staff" } }],
  ["Create an application", `mutation CreateApplication($input: CreateApplicationInput!) {
  createApplication(input: $input) {
    application { id name redirectUris }
    secret
    errors { message code path }
  }
}`, { input: { projectId: "", name: "Web", redirectUris: ["https://app.example.com/callback"] } }],
  ["The connections of an organization", `query Connections($id: ID!) {
  organization(id: $id) {
    label
    connections(first: 20) {
      nodes {
        id
        title
        active
        entityId
        certificates { subject notAfter expired }
      }
    }
  }
}`, { id: "" }],
];

const introspection = `query Schema { __schema {
  queryType { name } mutationType { name }
  types { kind name description
    fields { name description args { name description type { ...ref } } type { ...ref } }
    inputFields { name description type { ...ref } }
    enumValues { name description } } } }
fragment ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`;

// ---- asking

async function ask(query, variables, operationName) {
  const headers = { "Content-Type": "application/json", "Accept": "application/graphql-response+json, application/json" };
  const key = sessionStorage.getItem(keyName);
  if (key) headers.Authorization = "Bearer " + key;
  const response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify({ query, variables, operationName }) });
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { errors: [{ message: text || response.statusText }] };
  }
  return { status: response.status, body };
}

let running = false;

async function run() {
  if (running) return;
  const variables = readVariables();
  if (variables === undefined) {
    $("variables").focus();
    return;
  }
  running = true;
  $("run").disabled = true;
  $("status").textContent = "Running…";
  const start = performance.now();
  try {
    const { status, body } = await ask($("query").value, variables, operationAt($("query")));
    const failed = body.errors ? `, ${body.errors.length} error${body.errors.length > 1 ? "s" : ""}` : "";
    say(`${status}, ${Math.round(performance.now() - start)} ms${failed}`, Boolean(failed));
    show(body);
    if (status === 401) askForKey();
  } catch {
    say("The server does not answer.", true);
    $("result").replaceChildren();
  } finally {
    running = false;
    $("run").disabled = false;
  }
}

function say(text, bad) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

// readVariables gives the variables, or undefined where they are no JSON object.
function readVariables() {
  const text = $("variables").value.trim();
  let value = {}, problem = "";
  try {
    if (text) value = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) problem = "A JSON object is needed.";
  } catch (error) {
    problem = error.message;
  }
  $("variables-note").textContent = problem;
  $("variables-note").classList.toggle("bad", Boolean(problem));
  $("variables").setAttribute("aria-invalid", String(Boolean(problem)));
  return problem ? undefined : value;
}

// operationAt names the operation that the caret stands in, where the document has several.
function operationAt(editor) {
  const found = [...editor.value.matchAll(/^\s*(?:query|mutation)\s+([_A-Za-z]\w*)/gm)];
  if (found.length < 2) return undefined;
  const before = found.filter((m) => m.index <= editor.selectionStart);
  return (before.at(-1) ?? found[0])[1];
}

// ---- the answer

let answer = "";

function show(value) {
  answer = JSON.stringify(value, null, 2);
  const parts = answer.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b)/);
  $("result").replaceChildren(...parts.map((part, i) => {
    if (i % 2 === 0) return document.createTextNode(part);
    const kind = part.endsWith(":") ? "name" : part.startsWith('"') ? "string" : /^[-\d]/.test(part) ? "number" : "word";
    return element("span", { className: kind }, part);
  }));
  $("result").scrollTop = 0;
  $("copy").disabled = false;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(answer);
    say("Copied.", false);
  } catch {
    const all = document.createRange();
    all.selectNodeContents($("result"));
    getSelection().removeAllRanges();
    getSelection().addRange(all);
    say("Selected. Copy it with Ctrl+C.", false);
  }
}

// ---- the schema

let types = new Map();
let roots = [];

async function readSchema() {
  const { status, body } = await ask(introspection, {});
  if (!body.data) {
    docs(element("p", { className: "note bad" }, body.errors?.[0]?.message ?? "The schema could not be read."));
    if (status === 401) askForKey();
    return;
  }
  const schema = body.data.__schema;
  types = new Map(schema.types.filter((t) => !t.name.startsWith("__")).map((t) => [t.name, t]));
  roots = [["query", types.get(schema.queryType.name)], ["mutation", types.get(schema.mutationType.name)]];
  $("filter").disabled = false;
  showRoots("");
}

function docs(...content) {
  $("docs").replaceChildren(...content);
  $("docs").scrollTop = 0;
}

function showRoots(filter) {
  const wanted = (thing) => thing.name.toLowerCase().includes(filter.toLowerCase());
  const content = [];
  for (const [operation, type] of roots) {
    const fields = type.fields.filter(wanted);
    if (!fields.length) continue;
    content.push(element("h3", {}, operation === "query" ? "Queries" : "Mutations"),
      element("ul", {}, ...fields.map((f) => fieldItem(f, () => use(operation, f)))));
  }
  const others = [...types.values()].filter((t) => wanted(t) && !roots.some(([, root]) => root === t)).sort((a, b) => a.name.localeCompare(b.name));
  if (others.length) {
    content.push(element("h3", {}, "Types"), element("ul", {}, ...others.map((t) => element("li", {}, element("code", {}, typeLink(t.name))))));
  }
  docs(...(content.length ? content : [element("p", { className: "note" }, "Nothing has that name.")]));
}

function showType(name) {
  const type = types.get(name);
  const back = element("button", { type: "button", className: "link", onclick: () => { showRoots($("filter").value); $("docs").focus(); } }, "Schema");
  const content = [element("p", { className: "path" }, back, "›", element("strong", {}, name))];
  content.push(element("p", {}, type.description || kinds[type.kind]));
  const items = (type.fields ?? type.inputFields ?? []).map((f) => fieldItem(f))
    .concat((type.enumValues ?? []).map((v) => element("li", {}, element("code", {}, v.name), describe(v))));
  if (items.length) content.push(element("ul", {}, ...items));
  docs(...content);
  $("docs").focus();
}

const kinds = { OBJECT: "An object.", INPUT_OBJECT: "An input.", ENUM: "One of these values.", SCALAR: "A single value." };

function fieldItem(field, onUse) {
  const code = element("code", {}, element("strong", {}, field.name));
  const args = field.args ?? [];
  args.forEach((arg, i) => code.append(i ? ", " : "(", arg.name, ": ", ...typeText(arg.type)));
  if (args.length) code.append(")");
  code.append(": ", ...typeText(field.type));
  const button = onUse ? [element("button", { type: "button", className: "use", ariaLabel: "Use " + field.name, onclick: onUse }, "Use")] : [];
  return element("li", {}, ...button, code, describe(field));
}

function describe(thing) {
  return thing.description ? element("p", {}, thing.description) : "";
}

function typeText(type) {
  if (type.kind === "NON_NULL") return [...typeText(type.ofType), "!"];
  if (type.kind === "LIST") return ["[", ...typeText(type.ofType), "]"];
  return [typeLink(type.name)];
}

function typeLink(name) {
  return element("button", { type: "button", className: "link", onclick: () => showType(name) }, name);
}

// ---- writing an operation from the schema

function named(type) {
  return type.ofType ? named(type.ofType) : type;
}

function typeName(type) {
  if (type.kind === "NON_NULL") return typeName(type.ofType) + "!";
  return type.kind === "LIST" ? `[${typeName(type.ofType)}]` : type.name;
}

function use(operation, field) {
  const title = field.name[0].toUpperCase() + field.name.slice(1);
  const declared = field.args.map((a) => `$${a.name}: ${typeName(a.type)}`).join(", ");
  const given = field.args.map((a) => `${a.name}: $${a.name}`).join(", ");
  const variables = Object.fromEntries(field.args.map((a) => [a.name, sample(a.type)]));
  write(`${operation} ${title}${declared && `(${declared})`} {\n  ${field.name}${given && `(${given})`}${selection(field.type, "  ", 3)}\n}`, variables);
}

// selection writes the fields of a type: its plain values, and as many levels of objects as asked for. An object that
// leads back out, such as the project of an organization, is left for the person to add.
function selection(type, indent, levels) {
  const fields = types.get(named(type).name)?.fields;
  if (!fields) return "";
  const lines = [];
  for (const f of fields) {
    const object = types.get(named(f.type).name)?.kind === "OBJECT";
    if (!object) {
      lines.push(f.name);
    } else if (levels > 1 && !f.args.length && !(f.name === "edges" && fields.some((o) => o.name === "nodes"))) {
      const below = selection(f.type, indent + "  ", levels - 1);
      if (below) lines.push(f.name + below);
    }
  }
  return lines.length ? ` {\n${lines.map((l) => `${indent}  ${l}\n`).join("")}${indent}}` : "";
}

// sample is a value to start from: of an input its required fields, and else what the type takes.
function sample(type) {
  if (type.kind !== "NON_NULL") return null;
  const inner = type.ofType;
  if (inner.kind === "LIST") return [""];
  const input = types.get(inner.name)?.inputFields;
  if (!input) return { Int: 0, Boolean: false }[inner.name] ?? types.get(inner.name)?.enumValues?.[0].name ?? "";
  const required = input.filter((f) => f.type.kind === "NON_NULL");
  return Object.fromEntries((required.length ? required : input).map((f) => [f.name, required.length ? sample(f.type) : ""]));
}

function write(query, variables) {
  $("query").value = query;
  $("variables").value = variables && Object.keys(variables).length ? JSON.stringify(variables, null, 2) : "";
  readVariables();
  keepDraft();
  $("query").focus();
  $("query").setSelectionRange(0, 0);
}

// ---- the page

function element(name, properties, ...content) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...content);
  return e;
}

function askForKey() {
  $("key").setAttribute("aria-invalid", "true");
  $("key").focus();
}

function keepDraft() {
  sessionStorage.setItem(draftName, JSON.stringify([$("query").value, $("variables").value]));
}

function connect(event) {
  event.preventDefault();
  sessionStorage.setItem(keyName, $("key").value.trim());
  keyChanged();
}

function keyChanged() {
  const known = Boolean(sessionStorage.getItem(keyName));
  $("key").value = sessionStorage.getItem(keyName) ?? "";
  $("key").removeAttribute("aria-invalid");
  $("forget").hidden = !known;
  if (known) readSchema().catch(() => say("The server does not answer.", true));
}

function forget() {
  sessionStorage.removeItem(keyName);
  $("result").replaceChildren();
  $("copy").disabled = true;
  $("filter").disabled = true;
  docs(element("p", { className: "note" }, "Connect with an admin key to read the schema."));
  keyChanged();
  $("key").focus();
}

function start() {
  examples.forEach(([title], i) => $("examples").append(new Option(title, String(i))));
  $("examples").addEventListener("change", () => {
    const example = examples[$("examples").value];
    $("examples").value = "";
    if (example) write(example[1], example[2]);
  });
  $("key-form").addEventListener("submit", connect);
  $("forget").addEventListener("click", forget);
  $("run").addEventListener("click", run);
  $("copy").addEventListener("click", copy);
  $("filter").addEventListener("input", () => showRoots($("filter").value));
  $("query").addEventListener("input", keepDraft);
  $("variables").addEventListener("input", () => { readVariables(); keepDraft(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  const draft = JSON.parse(sessionStorage.getItem(draftName) ?? "null");
  $("query").value = draft?.[0] ?? examples[0][1];
  $("variables").value = draft?.[1] ?? "";
  keyChanged();
  (sessionStorage.getItem(keyName) ? $("query") : $("key")).focus();
}

start();
