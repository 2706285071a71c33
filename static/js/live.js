// A live part is renewed in place: what a person opened stays open, what has the focus keeps it.
// Of a row that is as it was the answer names only the place.
Idiomorph.defaults.callbacks.beforeNodeMorphed = (node, fresh) => !fresh.matches?.("[data-shown]");
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details, dialog"));
