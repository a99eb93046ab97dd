/** How it looks: large targets, AA contrast, fonts the machine has. */
import { createTheme } from "@mui/material/styles";

export const TARGET_PX = 48; // gloves
const FONTS = '"Noto Sans JP", "Yu Gothic UI", "Hiragino Sans", Meiryo, system-ui, sans-serif';

export const theme = createTheme({
  palette: {
    primary: { main: "#0d47a1" },
    success: { main: "#1b5e20" },
    error: { main: "#b3151b" },
    warning: { main: "#8a4600" },
    info: { main: "#01579b" },
    background: { default: "#f3f5f8" },
    text: { primary: "#10151c", secondary: "#46505c" },
  },
  shape: { borderRadius: 8 },
  typography: { fontFamily: FONTS, button: { textTransform: "none", fontWeight: 600 } },
  components: {
    MuiButtonBase: { defaultProps: { disableRipple: true } },
    MuiButton: {
      defaultProps: { variant: "outlined", disableElevation: true },
      styleOverrides: { root: { minHeight: TARGET_PX, fontSize: "1rem", lineHeight: 1.3 } },
    },
    MuiIconButton: { styleOverrides: { root: { minHeight: TARGET_PX, minWidth: TARGET_PX } } },
    MuiMenuItem: { styleOverrides: { root: { minHeight: TARGET_PX } } },
    MuiToggleButton: {
      styleOverrides: {
        root: { minHeight: TARGET_PX, textTransform: "none", fontSize: "1rem", color: "#10151c" },
      },
    },
    MuiCssBaseline: {
      styleOverrides: {
        html: { scrollPaddingTop: 80 }, // what gets the focus is not hidden by the bar at the top
        ":focus-visible": { outline: "3px solid #ef6c00", outlineOffset: 2 },
        "@media (prefers-reduced-motion: reduce)": {
          "*, *::before, *::after": {
            transitionDuration: "0s !important",
            animationDuration: "0s !important",
          },
        },
      },
    },
  },
});
