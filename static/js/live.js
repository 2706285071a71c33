// A live part is renewed in place: what a person opened stays open, what has the focus keeps it.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.matches("details, dialog"));
