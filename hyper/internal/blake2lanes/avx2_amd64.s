#include "textflag.h"

// Words 0 to 7 of the state are in Y0 to Y7 and so on, each of four messages: all
// 16 registers are taken. Memory at DX, aligned to 32 bytes, holds the message
// words of the four lanes (16 rows) and, behind them, the register that is lent
// while words are rotated by 63 bits.
#define LENT 512

// A row of the state has eight lanes, of which these are the first four.
#define ROW(i) ((i)*64)(DI)
#define H(w) ROW(w)
#define COUNT ROW(8)
#define FINAL ROW(9)
#define IV(w) ·iv+((w)*8)(SB)

DATA rot24<>+0x00(SB)/8, $0x0201000706050403
DATA rot24<>+0x08(SB)/8, $0x0a09080f0e0d0c0b
DATA rot24<>+0x10(SB)/8, $0x0201000706050403
DATA rot24<>+0x18(SB)/8, $0x0a09080f0e0d0c0b
GLOBL rot24<>(SB), RODATA|NOPTR, $32

DATA rot16<>+0x00(SB)/8, $0x0100070605040302
DATA rot16<>+0x08(SB)/8, $0x09080f0e0d0c0b0a
DATA rot16<>+0x10(SB)/8, $0x0100070605040302
DATA rot16<>+0x18(SB)/8, $0x09080f0e0d0c0b0a
GLOBL rot16<>(SB), RODATA|NOPTR, $32

// Four independent G, the first half: a += b + m; d = (d ^ a) >>> 32; c += d;
// b = (b ^ c) >>> 24.
#define HALF1(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, m0, m1, m2, m3) \
	VPADDQ  (m0*32)(DX), a0, a0; VPADDQ  (m1*32)(DX), a1, a1; VPADDQ  (m2*32)(DX), a2, a2; VPADDQ  (m3*32)(DX), a3, a3; \
	VPADDQ  b0, a0, a0; VPADDQ  b1, a1, a1; VPADDQ  b2, a2, a2; VPADDQ  b3, a3, a3; \
	VPXOR   a0, d0, d0; VPXOR   a1, d1, d1; VPXOR   a2, d2, d2; VPXOR   a3, d3, d3; \
	VPSHUFD $0xb1, d0, d0; VPSHUFD $0xb1, d1, d1; VPSHUFD $0xb1, d2, d2; VPSHUFD $0xb1, d3, d3; \
	VPADDQ  d0, c0, c0; VPADDQ  d1, c1, c1; VPADDQ  d2, c2, c2; VPADDQ  d3, c3, c3; \
	VPXOR   c0, b0, b0; VPXOR   c1, b1, b1; VPXOR   c2, b2, b2; VPXOR   c3, b3, b3; \
	VPSHUFB rot24<>(SB), b0, b0; VPSHUFB rot24<>(SB), b1, b1; VPSHUFB rot24<>(SB), b2, b2; VPSHUFB rot24<>(SB), b3, b3

// The second half: a += b + m; d = (d ^ a) >>> 16; c += d; b = (b ^ c) >>> 63.
#define HALF2(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, m0, m1, m2, m3) \
	VPADDQ  (m0*32)(DX), a0, a0; VPADDQ  (m1*32)(DX), a1, a1; VPADDQ  (m2*32)(DX), a2, a2; VPADDQ  (m3*32)(DX), a3, a3; \
	VPADDQ  b0, a0, a0; VPADDQ  b1, a1, a1; VPADDQ  b2, a2, a2; VPADDQ  b3, a3, a3; \
	VPXOR   a0, d0, d0; VPXOR   a1, d1, d1; VPXOR   a2, d2, d2; VPXOR   a3, d3, d3; \
	VPSHUFB rot16<>(SB), d0, d0; VPSHUFB rot16<>(SB), d1, d1; VPSHUFB rot16<>(SB), d2, d2; VPSHUFB rot16<>(SB), d3, d3; \
	VPADDQ  d0, c0, c0; VPADDQ  d1, c1, c1; VPADDQ  d2, c2, c2; VPADDQ  d3, c3, c3; \
	VPXOR   c0, b0, b0; VPXOR   c1, b1, b1; VPXOR   c2, b2, b2; VPXOR   c3, b3, b3; \
	VMOVDQA c0, LENT(DX); \
	VPADDQ  b0, b0, c0; VPSRLQ  $63, b0, b0; VPXOR   c0, b0, b0; \
	VPADDQ  b1, b1, c0; VPSRLQ  $63, b1, b1; VPXOR   c0, b1, b1; \
	VPADDQ  b2, b2, c0; VPSRLQ  $63, b2, b2; VPXOR   c0, b2, b2; \
	VPADDQ  b3, b3, c0; VPSRLQ  $63, b3, b3; VPXOR   c0, b3, b3; \
	VMOVDQA LENT(DX), c0

// Columns, then diagonals.
#define ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15) \
	HALF1(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15, s0, s2, s4, s6); \
	HALF2(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15, s1, s3, s5, s7); \
	HALF1(Y0, Y1, Y2, Y3, Y5, Y6, Y7, Y4, Y10, Y11, Y8, Y9, Y15, Y12, Y13, Y14, s8, s10, s12, s14); \
	HALF2(Y0, Y1, Y2, Y3, Y5, Y6, Y7, Y4, Y10, Y11, Y8, Y9, Y15, Y12, Y13, Y14, s9, s11, s13, s15)

// Four words of four lanes, from offset off of each, to four rows.
#define TRANSPOSE(off) \
	VMOVDQU     off(R8), Y0; \
	VMOVDQU     off(R9), Y1; \
	VMOVDQU     off(R10), Y2; \
	VMOVDQU     off(R11), Y3; \
	VPUNPCKLQDQ Y1, Y0, Y4; \
	VPUNPCKHQDQ Y1, Y0, Y5; \
	VPUNPCKLQDQ Y3, Y2, Y6; \
	VPUNPCKHQDQ Y3, Y2, Y7; \
	VPERM2I128  $0x20, Y6, Y4, Y0; \
	VPERM2I128  $0x20, Y7, Y5, Y1; \
	VPERM2I128  $0x31, Y6, Y4, Y2; \
	VPERM2I128  $0x31, Y7, Y5, Y3; \
	VMOVDQA     Y0, (off*4+0)(DX); \
	VMOVDQA     Y1, (off*4+32)(DX); \
	VMOVDQA     Y2, (off*4+64)(DX); \
	VMOVDQA     Y3, (off*4+96)(DX)

// Chained word w becomes itself ^ v[w] ^ v[w+8].
#define FEED(w, lo, hi) \
	VPXOR   H(w), lo, lo; \
	VPXOR   hi, lo, lo; \
	VMOVDQU lo, H(w)

// func compress4(s *State, in *[MaxLanes]*byte, n int)
TEXT ·compress4(SB), 0, $576-24
	MOVQ s+0(FP), DI
	MOVQ in+8(FP), SI
	MOVQ n+16(FP), CX
	LEAQ 31(SP), DX
	ANDQ $~31, DX
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	MOVQ $128, AX

block:
	TRANSPOSE(0)
	TRANSPOSE(32)
	TRANSPOSE(64)
	TRANSPOSE(96)

	VMOVQ        AX, X0
	VPBROADCASTQ X0, Y0
	VPADDQ       COUNT, Y0, Y0
	VMOVDQU      Y0, COUNT
	VPBROADCASTQ IV(4), Y12
	VPXOR        Y0, Y12, Y12
	VPBROADCASTQ IV(6), Y14
	VPXOR        FINAL, Y14, Y14
	VPBROADCASTQ IV(0), Y8
	VPBROADCASTQ IV(1), Y9
	VPBROADCASTQ IV(2), Y10
	VPBROADCASTQ IV(3), Y11
	VPBROADCASTQ IV(5), Y13
	VPBROADCASTQ IV(7), Y15
	VMOVDQU      H(0), Y0
	VMOVDQU      H(1), Y1
	VMOVDQU      H(2), Y2
	VMOVDQU      H(3), Y3
	VMOVDQU      H(4), Y4
	VMOVDQU      H(5), Y5
	VMOVDQU      H(6), Y6
	VMOVDQU      H(7), Y7

	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
	ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
	ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
	ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
	ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
	ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
	ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
	ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
	ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
	ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)

	FEED(0, Y0, Y8)
	FEED(1, Y1, Y9)
	FEED(2, Y2, Y10)
	FEED(3, Y3, Y11)
	FEED(4, Y4, Y12)
	FEED(5, Y5, Y13)
	FEED(6, Y6, Y14)
	FEED(7, Y7, Y15)

	ADDQ AX, R8
	ADDQ AX, R9
	ADDQ AX, R10
	ADDQ AX, R11
	DECQ CX
	JNZ  block

	VZEROUPPER
	RET
