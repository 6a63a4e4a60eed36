// The client's texts come with the page, in its language: `data-…` of one hidden element.

const source = document.querySelector("[data-words]");

// The text of this name with its {places} filled in.
export function words(name, places = {}) {
  const text = source?.dataset[name] ?? "";
  return text.replace(/\{(\w+)\}/g, (whole, place) => places[place] ?? whole);
}

export function counted(one, many, count) {
  return words(count === 1 ? one : many, { count });
}
