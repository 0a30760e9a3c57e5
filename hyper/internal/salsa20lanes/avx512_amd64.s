#include "textflag.h"

// Words 0 to 15 of sixteen blocks are in Z0 to Z15, one block in each 32-bit lane. Z16
// to Z19 are free. Z20 and Z21 have words 8 and 9 before the rounds, which count the
// blocks; the other words before the rounds are equal in all lanes and stay in memory at
// R8. Nothing is kept on the stack. AVX-512F is all that is needed.

DATA lane<>+0x00(SB)/8, $0x0000000100000000
DATA lane<>+0x08(SB)/8, $0x0000000300000002
DATA lane<>+0x10(SB)/8, $0x0000000500000004
DATA lane<>+0x18(SB)/8, $0x0000000700000006
DATA lane<>+0x20(SB)/8, $0x0000000900000008
DATA lane<>+0x28(SB)/8, $0x0000000b0000000a
DATA lane<>+0x30(SB)/8, $0x0000000d0000000c
DATA lane<>+0x38(SB)/8, $0x0000000f0000000e
GLOBL lane<>(SB), RODATA|NOPTR, $64

#define BROADCAST(i, z) VPBROADCASTD ((i)*4)(R8), z

// b ^= (a + d) <<< n, four times.
#define STEP(a0, a1, a2, a3, d0, d1, d2, d3, b0, b1, b2, b3, n) \
	VPADDD d0, a0, Z16;  VPADDD d1, a1, Z17;  VPADDD d2, a2, Z18;  VPADDD d3, a3, Z19; \
	VPROLD $n, Z16, Z16; VPROLD $n, Z17, Z17; VPROLD $n, Z18, Z18; VPROLD $n, Z19, Z19; \
	VPXORD Z16, b0, b0;  VPXORD Z17, b1, b1;  VPXORD Z18, b2, b2;  VPXORD Z19, b3, b3

// Four independent quarter rounds.
#define QUARTERS(a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3) \
	STEP(a0, a1, a2, a3, d0, d1, d2, d3, b0, b1, b2, b3, 7); \
	STEP(b0, b1, b2, b3, a0, a1, a2, a3, c0, c1, c2, c3, 9); \
	STEP(c0, c1, c2, c3, b0, b1, b2, b3, d0, d1, d2, d3, 13); \
	STEP(d0, d1, d2, d3, c0, c1, c2, c3, a0, a1, a2, a3, 18)

#define FINISH(i, z) VPADDD.BCST ((i)*4)(R8), z, z

// Four words of the sixteen blocks become one 128-bit lane of block: w0 has it of the
// blocks 0, 4, 8 and 12, w1 of 1, 5, 9 and 13, and so on.
#define TRANSPOSE(w0, w1, w2, w3) \
	VPUNPCKLDQ  w1, w0, Z16; \
	VPUNPCKHDQ  w1, w0, Z17; \
	VPUNPCKLDQ  w3, w2, Z18; \
	VPUNPCKHDQ  w3, w2, Z19; \
	VPUNPCKLQDQ Z18, Z16, w0; \
	VPUNPCKHQDQ Z18, Z16, w1; \
	VPUNPCKLQDQ Z19, Z17, w2; \
	VPUNPCKHQDQ Z19, Z17, w3

#define XORBLOCK(block, z) \
	VPXORD    ((block)*64)(SI), z, z; \
	VMOVDQU64 z, ((block)*64)(DI)

// The 128-bit lanes of four registers become four blocks, which are applied: block
// first, and those 4, 8 and 12 behind it.
#define APPLY(first, q0, q1, q2, q3) \
	VSHUFI32X4 $0x44, q1, q0, Z16; \
	VSHUFI32X4 $0x44, q3, q2, Z17; \
	VSHUFI32X4 $0xee, q1, q0, Z18; \
	VSHUFI32X4 $0xee, q3, q2, Z19; \
	VSHUFI32X4 $0x88, Z17, Z16, q0; \
	VSHUFI32X4 $0xdd, Z17, Z16, q1; \
	VSHUFI32X4 $0x88, Z19, Z18, q2; \
	VSHUFI32X4 $0xdd, Z19, Z18, q3; \
	XORBLOCK(first, q0); \
	XORBLOCK(first+4, q1); \
	XORBLOCK(first+8, q2); \
	XORBLOCK(first+12, q3)

// func xor16(dst, src *byte, groups int, state *[16]uint32)
TEXT ·xor16(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ groups+16(FP), CX
	MOVQ state+24(FP), R8
	MOVQ 32(R8), R9 // number of the group's first block
	MOVL $1, R11

group:
	// The lower word of the number wraps around where it becomes less than the first.
	VPBROADCASTD R9, Z16
	MOVQ         R9, R10
	SHRQ         $32, R10
	VPBROADCASTD R10, Z21
	VPADDD       lane<>(SB), Z16, Z20
	VPCMPUD      $1, Z16, Z20, K1
	VPBROADCASTD R11, Z17
	VPADDD       Z17, Z21, K1, Z21
	ADDQ         $16, R9

	BROADCAST(0, Z0)
	BROADCAST(1, Z1)
	BROADCAST(2, Z2)
	BROADCAST(3, Z3)
	BROADCAST(4, Z4)
	BROADCAST(5, Z5)
	BROADCAST(6, Z6)
	BROADCAST(7, Z7)
	VMOVDQA64 Z20, Z8
	VMOVDQA64 Z21, Z9
	BROADCAST(10, Z10)
	BROADCAST(11, Z11)
	BROADCAST(12, Z12)
	BROADCAST(13, Z13)
	BROADCAST(14, Z14)
	BROADCAST(15, Z15)
	MOVQ $10, AX

rounds:
	// Columns, then rows.
	QUARTERS(Z0, Z5, Z10, Z15, Z4, Z9, Z14, Z3, Z8, Z13, Z2, Z7, Z12, Z1, Z6, Z11)
	QUARTERS(Z0, Z5, Z10, Z15, Z1, Z6, Z11, Z12, Z2, Z7, Z8, Z13, Z3, Z4, Z9, Z14)
	DECQ AX
	JNZ  rounds

	FINISH(0, Z0)
	FINISH(1, Z1)
	FINISH(2, Z2)
	FINISH(3, Z3)
	FINISH(4, Z4)
	FINISH(5, Z5)
	FINISH(6, Z6)
	FINISH(7, Z7)
	VPADDD Z20, Z8, Z8
	VPADDD Z21, Z9, Z9
	FINISH(10, Z10)
	FINISH(11, Z11)
	FINISH(12, Z12)
	FINISH(13, Z13)
	FINISH(14, Z14)
	FINISH(15, Z15)

	TRANSPOSE(Z0, Z1, Z2, Z3)
	TRANSPOSE(Z4, Z5, Z6, Z7)
	TRANSPOSE(Z8, Z9, Z10, Z11)
	TRANSPOSE(Z12, Z13, Z14, Z15)
	APPLY(0, Z0, Z4, Z8, Z12)
	APPLY(1, Z1, Z5, Z9, Z13)
	APPLY(2, Z2, Z6, Z10, Z14)
	APPLY(3, Z3, Z7, Z11, Z15)
	ADDQ $1024, SI
	ADDQ $1024, DI
	DECQ CX
	JNZ  group

	VZEROUPPER
	RET
