/** How charts look. */
export const CHART_PX = 300;
export const AXIS_PX = 48; // Japanese letters are taller than the library expects, and it leaves out what does not fit
export const COLORS = { yield: "#0d47a1", overkill: "#8a4600", escape: "#b3151b", bar: "#b3151b" } as const;
