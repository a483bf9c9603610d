#include "textflag.h"

// HASH computes (x-y)*(y*factor+addend) for the eight places o, o+4 ... o+28 of a block.
#define HASH(o, h, t) \
	VMOVDQU o+4(SI)(AX*1), t \
	VMOVDQU o(SI)(AX*1), h   \
	VPSUBD  t, h, h          \
	VPMULLD Y8, t, t         \
	VPADDD  Y9, t, t         \
	VPMULLD t, h, h

// func skimAVX2(p *byte, n int, factor, addend uint32, limit int32) int
TEXT ·skimAVX2(SB), NOSPLIT, $0-40
	MOVQ         p+0(FP), SI
	MOVQ         n+8(FP), CX
	MOVL         factor+16(FP), DX
	VMOVD        DX, X8
	VPBROADCASTD X8, Y8
	MOVL         addend+20(FP), DX
	VMOVD        DX, X9
	VPBROADCASTD X9, Y9
	MOVL         limit+24(FP), DX
	VMOVD        DX, X10
	VPBROADCASTD X10, Y10
	XORQ         AX, AX

loop:
	HASH(0, Y0, Y4)
	HASH(1, Y1, Y5)
	HASH(2, Y2, Y6)
	HASH(3, Y3, Y7)
	VPMINSD  Y0, Y1, Y4     // a mark among 32 places is rare: one test for all
	VPMINSD  Y2, Y3, Y5
	VPMINSD  Y4, Y5, Y4
	VPCMPGTD Y4, Y10, Y4
	VPTEST   Y4, Y4
	JNZ      found
	ADDQ     $32, AX
	CMPQ     AX, CX
	JLT      loop
	MOVQ     AX, ret+32(FP)
	VZEROUPPER
	RET

found:
	// Each comparison fills a place's 32 bits; keep the byte that stands where the
	// place does, so that the bytes of the union are the places in order.
	VPCMPGTD  Y0, Y10, Y0
	VPCMPGTD  Y1, Y10, Y1
	VPCMPGTD  Y2, Y10, Y2
	VPCMPGTD  Y3, Y10, Y3
	VPSRLD    $24, Y0, Y0
	VPSRLD    $24, Y1, Y1
	VPSLLD    $8, Y1, Y1
	VPSRLD    $24, Y2, Y2
	VPSLLD    $16, Y2, Y2
	VPSLLD    $24, Y3, Y3
	VPOR      Y0, Y1, Y0
	VPOR      Y2, Y3, Y2
	VPOR      Y0, Y2, Y0
	VPMOVMSKB Y0, DX
	BSFL      DX, DX
	ADDQ      DX, AX
	MOVQ      AX, ret+32(FP)
	VZEROUPPER
	RET
