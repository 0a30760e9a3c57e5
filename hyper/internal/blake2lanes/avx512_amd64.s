#include "textflag.h"

// Words 0 to 7 of the state are in Z0 to Z7 and so on, word i of the message in Z(16+i),
// each of eight messages: all 32 registers are taken, and nothing is kept in memory.
// AVX-512F is all that is needed.

#define ROW(i) ((i)*64)(DI)
#define H(w) ROW(w)
#define COUNT ROW(8)
#define FINAL ROW(9)
#define IV(w) ·iv+((w)*8)(SB)

// Four independent G, half of each: a += b + m; d = (d ^ a) >>> rd; c += d;
// b = (b ^ c) >>> rb.
#define HALF(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, m0, m1, m2, m3, rd, rb) \
	VPADDQ m0, a0, a0;  VPADDQ m1, a1, a1;  VPADDQ m2, a2, a2;  VPADDQ m3, a3, a3; \
	VPADDQ b0, a0, a0;  VPADDQ b1, a1, a1;  VPADDQ b2, a2, a2;  VPADDQ b3, a3, a3; \
	VPXORQ a0, d0, d0;  VPXORQ a1, d1, d1;  VPXORQ a2, d2, d2;  VPXORQ a3, d3, d3; \
	VPRORQ $rd, d0, d0; VPRORQ $rd, d1, d1; VPRORQ $rd, d2, d2; VPRORQ $rd, d3, d3; \
	VPADDQ d0, c0, c0;  VPADDQ d1, c1, c1;  VPADDQ d2, c2, c2;  VPADDQ d3, c3, c3; \
	VPXORQ c0, b0, b0;  VPXORQ c1, b1, b1;  VPXORQ c2, b2, b2;  VPXORQ c3, b3, b3; \
	VPRORQ $rb, b0, b0; VPRORQ $rb, b1, b1; VPRORQ $rb, b2, b2; VPRORQ $rb, b3, b3

// Columns, then diagonals.
#define ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15) \
	HALF(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, m0, m2, m4, m6, 32, 24); \
	HALF(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, m1, m3, m5, m7, 16, 63); \
	HALF(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14, m8, m10, m12, m14, 32, 24); \
	HALF(Z0, Z1, Z2, Z3, Z5, Z6, Z7, Z4, Z10, Z11, Z8, Z9, Z15, Z12, Z13, Z14, m9, m11, m13, m15, 16, 63)

// Four words of eight lanes, from offset off of each, become four registers. Lanes go
// to the two halves of a register so that pairs of them come together in order.
#define TRANSPOSE(off, m0, m1, m2, m3) \
	VMOVDQU      off(R8), Y0; \
	VMOVDQU      off(R9), Y1; \
	VMOVDQU      off(R12), Y2; \
	VMOVDQU      off(R13), Y3; \
	VINSERTI64X4 $1, off(R10), Z0, Z0; \
	VINSERTI64X4 $1, off(R11), Z1, Z1; \
	VINSERTI64X4 $1, off(AX), Z2, Z2; \
	VINSERTI64X4 $1, off(BX), Z3, Z3; \
	VPUNPCKLQDQ  Z1, Z0, Z4; \
	VPUNPCKHQDQ  Z1, Z0, Z5; \
	VPUNPCKLQDQ  Z3, Z2, Z6; \
	VPUNPCKHQDQ  Z3, Z2, Z7; \
	VSHUFI64X2   $0x88, Z6, Z4, m0; \
	VSHUFI64X2   $0x88, Z7, Z5, m1; \
	VSHUFI64X2   $0xdd, Z6, Z4, m2; \
	VSHUFI64X2   $0xdd, Z7, Z5, m3

// Chained word w becomes itself ^ v[w] ^ v[w+8].
#define FEED(w, lo, hi) \
	VPXORQ    H(w), lo, lo; \
	VPXORQ    hi, lo, lo; \
	VMOVDQU64 lo, H(w)

// func compress8(s *State, in *[MaxLanes]*byte, n int)
TEXT ·compress8(SB), NOSPLIT, $0-24
	MOVQ s+0(FP), DI
	MOVQ in+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ 0(SI), R8
	MOVQ 8(SI), R9
	MOVQ 16(SI), R10
	MOVQ 24(SI), R11
	MOVQ 32(SI), R12
	MOVQ 40(SI), R13
	MOVQ 48(SI), AX
	MOVQ 56(SI), BX
	MOVQ $128, DX

block:
	TRANSPOSE(0, Z16, Z17, Z18, Z19)
	TRANSPOSE(32, Z20, Z21, Z22, Z23)
	TRANSPOSE(64, Z24, Z25, Z26, Z27)
	TRANSPOSE(96, Z28, Z29, Z30, Z31)

	VPBROADCASTQ DX, Z0
	VPADDQ       COUNT, Z0, Z0
	VMOVDQU64    Z0, COUNT
	VPBROADCASTQ IV(4), Z12
	VPXORQ       Z0, Z12, Z12
	VPBROADCASTQ IV(6), Z14
	VPXORQ       FINAL, Z14, Z14
	VPBROADCASTQ IV(0), Z8
	VPBROADCASTQ IV(1), Z9
	VPBROADCASTQ IV(2), Z10
	VPBROADCASTQ IV(3), Z11
	VPBROADCASTQ IV(5), Z13
	VPBROADCASTQ IV(7), Z15
	VMOVDQU64    H(0), Z0
	VMOVDQU64    H(1), Z1
	VMOVDQU64    H(2), Z2
	VMOVDQU64    H(3), Z3
	VMOVDQU64    H(4), Z4
	VMOVDQU64    H(5), Z5
	VMOVDQU64    H(6), Z6
	VMOVDQU64    H(7), Z7

	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	ROUND(Z30, Z26, Z20, Z24, Z25, Z31, Z29, Z22, Z17, Z28, Z16, Z18, Z27, Z23, Z21, Z19)
	ROUND(Z27, Z24, Z28, Z16, Z21, Z18, Z31, Z29, Z26, Z30, Z19, Z22, Z23, Z17, Z25, Z20)
	ROUND(Z23, Z25, Z19, Z17, Z29, Z28, Z27, Z30, Z18, Z22, Z21, Z26, Z20, Z16, Z31, Z24)
	ROUND(Z25, Z16, Z21, Z23, Z18, Z20, Z26, Z31, Z30, Z17, Z27, Z28, Z22, Z24, Z19, Z29)
	ROUND(Z18, Z28, Z22, Z26, Z16, Z27, Z24, Z19, Z20, Z29, Z23, Z21, Z31, Z30, Z17, Z25)
	ROUND(Z28, Z21, Z17, Z31, Z30, Z29, Z20, Z26, Z16, Z23, Z22, Z19, Z25, Z18, Z24, Z27)
	ROUND(Z29, Z27, Z23, Z30, Z28, Z17, Z19, Z25, Z21, Z16, Z31, Z20, Z24, Z22, Z18, Z26)
	ROUND(Z22, Z31, Z30, Z25, Z27, Z19, Z16, Z24, Z28, Z18, Z29, Z23, Z17, Z20, Z26, Z21)
	ROUND(Z26, Z18, Z24, Z20, Z23, Z22, Z17, Z21, Z31, Z27, Z25, Z30, Z19, Z28, Z29, Z16)
	ROUND(Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	ROUND(Z30, Z26, Z20, Z24, Z25, Z31, Z29, Z22, Z17, Z28, Z16, Z18, Z27, Z23, Z21, Z19)

	FEED(0, Z0, Z8)
	FEED(1, Z1, Z9)
	FEED(2, Z2, Z10)
	FEED(3, Z3, Z11)
	FEED(4, Z4, Z12)
	FEED(5, Z5, Z13)
	FEED(6, Z6, Z14)
	FEED(7, Z7, Z15)

	ADDQ DX, R8
	ADDQ DX, R9
	ADDQ DX, R10
	ADDQ DX, R11
	ADDQ DX, R12
	ADDQ DX, R13
	ADDQ DX, AX
	ADDQ DX, BX
	DECQ CX
	JNZ  block

	VZEROUPPER
	RET
