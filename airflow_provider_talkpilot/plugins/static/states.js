// The names of a day's states, and their meanings.

export const STATES = {
  complete: ["Complete", "Calls and details are in the table."],
  summaries: ["Summaries only", "Calls are in the table. The run did not request all details."],
  partial: ["Partly", "Only some hours of the day, or only some agents, are in the table."],
  running: ["In progress", "A run works on the day, or waits for quota or for its next try."],
  stale: ["Newest run failed", "An earlier run loaded the day. The newest run failed."],
  failed: ["Failed", "The run failed, and no earlier run loaded the day."],
  never: ["Not walked", "No run has walked this day."],
};

export const OTHERS = {
  open: ["Not over", "The day is not over, so it cannot be walked."],
  absent: ["Not this agent", "The agent was not among those walked on this day."],
};

export function label(state) {
  return (STATES[state] ?? OTHERS[state] ?? [state])[0];
}

export function meaning(state) {
  return (STATES[state] ?? OTHERS[state] ?? ["", ""])[1];
}
