// What a day's state is called, and what it means.

export const STATES = {
  complete: ["Complete", "Calls and details are in the table."],
  summaries: ["Summaries only", "Calls are in the table; details were not wanted."],
  partial: ["Partly", "Only a part of the day, or of the agents, is in the table."],
  running: ["In progress", "A run works on the day, or waits for quota or for its next try."],
  stale: ["Newest run failed", "The day is in the table from an earlier run; the newest failed."],
  failed: ["Failed", "The run failed, and no other run loaded the day."],
  never: ["Not walked", "No run has read this day."],
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
